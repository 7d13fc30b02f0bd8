"""What one run over a data set's assets shares: who goes over shards, the budget, and what is under way at servers."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import Self

from pairwright.assets.flow import flow
from pairwright.assets.stages.batch_runner import InBatches
from pairwright.assets.stages.run import Made, Run
from pairwright.assets.stages.runner import SERIAL, Runner
from pairwright.assets.stages.stage import Paid, Stage
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.reply_store import Budget, Share
from pairwright.pipelines.lanes import Lanes, endpoint_of
from pairwright.pipelines.processes import Processes
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

VARIABLE = "PAIRWRIGHT_WORKERS"
"""Processes of a run that nobody gave a number, as the UI's runs; never from run config."""
_workers: ContextVar[int | None] = ContextVar("workers", default=None)


@contextlib.contextmanager
def with_workers(count: int) -> Iterator[None]:
    """Runs that begin within the block have so many worker processes."""
    token = _workers.set(count)
    try:
        yield
    finally:
        _workers.reset(token)


def workers_wanted() -> int:
    """As the block around says, else the environment, else 1: no other process. Raises PairwrightError."""
    if (told := _workers.get()) is not None:
        return told
    text = os.environ.get(VARIABLE, "").strip() or "1"
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise PairwrightError(f"{VARIABLE} is {text[:40]!r}; it must be a number of processes, from 1 to 1024")
    return int(text)


class Coordinator:
    """Brings stages up to date within one run. Use as a context manager: nothing of it outlives the block."""

    def __init__(self, recipe: Recipe, workspace: Workspace, workers: int) -> None:
        self._recipe, self.workspace = recipe, workspace
        self._runner: Runner = SERIAL
        self._ends = contextlib.ExitStack()
        if workers > 1:
            self._runner = self._ends.enter_context(Processes(recipe, workspace, workers))
        self._budget: Budget | None = None
        self._lanes: Lanes | None = None
        self._shards: Sequence[Shard] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._lanes is not None:
                self._lanes.end(self._stop)
        finally:
            self._ends.close()

    def begin(self, selected: Sequence[str], shards: Sequence[Shard]) -> None:
        """Say, once, what the run is about: the names of its stages, and the shards."""
        if self._lanes is None:
            self._shards = shards
            stages = [stage for stage in flow(self._recipe) if stage.name in selected]
            self._lanes = Lanes(stages, lambda stage: self._alone(stage, self._shards))

    def bring_up(self, stages: Sequence[Stage], shards: Sequence[Shard]) -> Made:
        """Bring the last of some stages up to date, of some shards; those before it, of all, as it needs them so."""
        last, total = stages[-1], Made()
        if not last.at_once:
            for stage in stages[:-1]:
                total += self._alone(stage, None)._replace(rows=0)
        if self._lanes is not None and endpoint_of(last) is not None:
            total += self._lanes.wait_for(last)
        else:
            total += self._alone(last, None if last.fit else shards)
        if self._lanes is not None:
            self._lanes.finished(stages)
        return total

    def _alone(self, stage: Stage, shards: Sequence[Shard] | None) -> Made:
        if not isinstance(stage, Paid):
            return stage.bring_up(self.workspace, shards, Run(runner=self._runner))
        share = Share(self._whole())
        asked = stage.made_by
        runner = self._runner
        if isinstance(asked, Endpoint) and asked.transport == "batch":
            runner = InBatches(share, asked.poll)
        made = stage.bring_up(self.workspace, shards, Run(share, runner))
        return made._replace(calls=share.spent.calls, cost_usd=share.spent.usd)

    def _whole(self) -> Budget:
        """The one budget of the run, less what was spent before it."""
        with self._lock:
            if self._budget is None:
                self._budget = budget_of(self._recipe, self.workspace)
            return self._budget

    def _stop(self) -> None:
        self._whole().stop()
