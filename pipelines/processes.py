"""Shards in several processes of this machine: a runner for the work of the processor.

Workers are started anew, not forked: imports alone leave threads of polars and pyarrow behind, whose locks a forked
process would inherit without them. They are started when there is enough to do for more than one.
"""

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, Self, TypeVar, cast

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.stages.run import Made
from pairwright.assets.stages.runner import Part, Spreadable
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.pipelines import worker
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

LEAST = 8 << 20
"""Bytes of input files below which workers would take longer to start than they save."""
PATIENCE = 5.0
"""Seconds that a worker has to end before it is killed."""
_Made = TypeVar("_Made")


class _Worker(NamedTuple):
    process: Any
    pipe: Connection


class Processes:
    """A runner with up to `workers` processes for the stages of a recipe. Use as a context manager."""

    def __init__(self, recipe: Recipe, workspace: Workspace, workers: int, least: int | None = None) -> None:
        """`least`: bytes of a stage's input files from which on workers are started, by default LEAST."""
        self._recipe, self._workspace = recipe, workspace
        self._least = LEAST if least is None else least
        self._most = min(workers, recipe.shards)
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def each(
        self, stage: Spreadable, workspace: Workspace, shards: Sequence[Part], here: Callable[[Part], _Made]
    ) -> Iterator[_Made]:
        """What is not due is done here, and all of what does not spread or is too little to."""
        due: list[Shard] = []
        if stage.spreads and self._most > 1 and workspace == self._workspace:
            due = [shard for shard in shards if shard is not None and stage.is_due(workspace, shard)]
        if len(due) < 2 or _bytes(stage, workspace, due) < self._least:
            due = []
        yield from map(here, (shard for shard in shards if shard not in due))
        if due:
            yield from cast(Iterator[_Made], self._spread(stage.basis.name, due))

    def _spread(self, stage: str, shards: Sequence[Shard]) -> Iterator[Made]:
        """A shard a worker at a time; when one fails, or the caller stops, all are ended."""
        whole = False
        try:
            left, busy = deque(shards), dict[Connection, tuple[_Worker, Shard]]()
            idle = self._started(min(self._most, len(shards)))
            while left or busy:
                while left and idle:
                    one, shard = idle.pop(), left.popleft()
                    busy[one.pipe] = (one, shard)
                    with contextlib.suppress(OSError):  # it is dead, which is told below
                        one.pipe.send(worker.Task(stage, *shard))
                for pipe in wait(list(busy)):
                    pipe = cast(Connection, pipe)
                    try:
                        what, content = pipe.recv()
                    except (EOFError, OSError):
                        raise _died(stage, *busy[pipe]) from None
                    if what == "made":
                        idle.append(busy.pop(pipe)[0])
                        yield Made(*content)
                    else:
                        _take(what, content)
            whole = True
        finally:
            if not whole:
                self.close()

    def _started(self, count: int) -> list[_Worker]:
        """So many workers, started as far as they are lacking."""
        recipe, context = pickle.dumps(self._recipe), multiprocessing.get_context("spawn")
        threads = max(1, pl.thread_pool_size() // self._most)
        while len(self._workers) < count:
            ours, theirs = context.Pipe()
            process = context.Process(
                target=worker.main,
                args=(theirs, recipe, self._workspace.data, threads),
                name=f"pairwright-worker-{len(self._workers)}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))
        return self._workers[:count]

    def close(self) -> None:
        """End all workers, whatever they are at."""
        workers, self._workers = self._workers, []
        for one in workers:
            one.pipe.close()
            one.process.terminate()
        for one in workers:
            one.process.join(PATIENCE)
            if one.process.exitcode is None:
                one.process.kill()
                one.process.join()


def _take(what: str, content: Any) -> None:
    if what == "step":
        tell(*content)
    elif what == "log":
        logging.getLogger("pairwright").log(*content)
    else:
        packed, shown = pickle.loads(content)  # noqa: S301 - from our own worker
        error = pickle.loads(packed)  # noqa: S301
        if not isinstance(error, PairwrightError):
            error.add_note(f"raised in a worker process:\n{shown}")
        raise error


def _died(stage: str, one: _Worker, shard: Shard) -> PairwrightError:
    one.process.join(PATIENCE)
    code = one.process.exitcode
    how = "ended" if code is None else f"ended with code {code}"
    if code is not None and code < 0:
        how = f"was ended by {signal.Signals(-code).name}"
    return PairwrightError(
        f"the worker process that made {stage}, shard {shard.index + 1} of {shard.count}, {how}; a machine that runs "
        "out of memory ends processes so. Finished work is kept: build again, with fewer `--workers` or more `shards:`"
    )


def _bytes(stage: Spreadable, workspace: Workspace, shards: Sequence[Shard]) -> int:
    """Of the shards' input files."""
    tables = {one.table for one in stage.basis.inputs if not (one.fit or one.every_shard)}
    paths = [workspace.file(table, shard) for table in tables for shard in shards]
    return sum(path.stat().st_size for path in paths if path.exists())


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
