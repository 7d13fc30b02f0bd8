"""Shards in several processes of this machine: a runner for the work of the processor.

Workers are started when there is enough to do for more than one, and serve all stages from then on.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self, TypeVar, cast

from pairwright.assets.stages.runner import SERIAL, Part, Runner, Spreadable
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.pipelines.worker import Call, Task
from pairwright.pipelines.worker_pool import Pool
from pairwright.schemas.recipe import Recipe

LEAST = 8 << 20
"""Bytes of input files below which workers would take longer to start than they save."""
STARTED = 16
"""Workers that are there take a stage of so many times less."""
_Made = TypeVar("_Made")


class Processes:
    """A runner with up to `workers` processes for the stages of a recipe. Use as a context manager."""

    def __init__(self, recipe: Recipe, workspace: Workspace, workers: int, least: int | None = None) -> None:
        """`least`: bytes of a stage's input files from which on workers are started, by default LEAST."""
        self._workspace = workspace
        self._least = LEAST if least is None else least
        self.pool = Pool(recipe, workspace.data, min(workers, recipe.shards))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.close()

    def each(
        self, stage: Spreadable, workspace: Workspace, shards: Sequence[Part], here: Callable[[Part], _Made]
    ) -> Iterator[_Made]:
        """What is not due is done here, and all of what does not spread or is too little to."""
        due: list[Shard] = []
        if stage.spreads and self.pool.most > 1 and workspace == self._workspace:
            due = [shard for shard in shards if shard is not None and stage.is_due(workspace, shard)]
        if len(due) < 2 or not self._is_enough(_bytes(stage, workspace, due)):
            due = []
        yield from map(here, (shard for shard in shards if shard not in due))
        if due:
            self.pool.start(len(due))
            tasks = (Task(stage.basis.name, *shard) for shard in due)
            yield from cast(Iterator[_Made], self.pool.do(tasks, in_order=False))

    def calls(self, what: str, function: Callable[..., _Made], arguments: Iterable[tuple[Any, ...]]) -> Iterator[_Made]:
        """One a worker at a time; what is given must pickle, and so must what comes."""
        self.pool.start(self.pool.most)
        every = (Call(f"{what} {number}", function, one) for number, one in enumerate(arguments, start=1))
        return self.pool.do(every, in_order=True)

    def for_bytes(self, size: int) -> Runner:
        """Itself, or SERIAL for what is too little."""
        return self if self.pool.most > 1 and self._is_enough(size) else SERIAL

    def _is_enough(self, size: int) -> bool:
        return size >= (self._least // STARTED if self.pool.workers else self._least)


def _bytes(stage: Spreadable, workspace: Workspace, shards: Sequence[Shard]) -> int:
    """Of the shards' input files."""
    tables = {one.table for one in stage.basis.inputs if not (one.fit or one.every_shard)}
    paths = [workspace.file(table, shard) for table in tables for shard in shards]
    return sum(path.stat().st_size for path in paths if path.exists())


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
