"""Stages that ask servers, at the same time within a run: a lane for each endpoint.

When the first asset of such a stage comes to its turn, every other one of the run whose inputs are there begins, too.
Dagster's executor goes on one asset after the other; each waits for its own stage, and reports it or fails with it.
"""

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as StillAtIt
from typing import Any

from pairwright.assets.display.progress import Step, listening, tell
from pairwright.assets.stages.run import Made
from pairwright.assets.stages.stage import Paid, Stage
from pairwright.models.serving.endpoint import Endpoint

LOOK = 0.2
"""Seconds between looks at how far a stage is that its asset waits for."""
PATIENCE = 30.0
"""Seconds that calls in flight, which are paid for, have to end when a run has failed."""
BringUp = Callable[[Stage], Made]


class _Work:
    """A stage on its lane, or at the end of it."""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.future = stage, Future[Made]()
        self.steps: dict[str, Step] = {}

    def take(self, step: Step) -> None:
        """Note how far it is."""
        self.steps[step.stage] = step


def endpoint_of(stage: Stage) -> Hashable | None:
    """The server that a stage asks, with the key that it is asked with; None for one that asks none.

    Limits are a server's and a key's: stages that share both go one after the other. Batches count under none of them.
    """
    if isinstance(stage, Paid) and isinstance(stage.made_by, Endpoint):
        alone = stage.table if stage.made_by.transport == "batch" else ""
        return stage.made_by.base_url, stage.made_by.api_key_env, alone
    return None


class Lanes:
    """The stages of a run that ask servers."""

    def __init__(self, stages: Iterable[Stage], bring_up: BringUp) -> None:
        """`stages` are those that the run is about, in the order of the flow."""
        self._stages, self._bring_up = list(stages), bring_up
        self._done: set[str] = set()
        self._told: dict[str, Step] = {}
        self._works: dict[str, _Work] = {}
        self._lanes: dict[Hashable, deque[_Work]] = {}
        self._threads: dict[Hashable, threading.Thread] = {}
        self._lock = threading.Lock()

    def finished(self, stages: Sequence[Stage]) -> None:
        """Note that stages were brought up to date, so that others can read them."""
        self._done.update(stage.name for stage in stages)

    def wait_for(self, stage: Stage) -> Made:
        """Begin what can begin, and wait for this stage. Raises what its work raised."""
        for one in [stage, *self._stages]:
            if one.name not in self._works and (one is stage or self._can_begin(one)):
                self._begin(one)
        work = self._works[stage.name]
        while True:
            try:
                return work.future.result(LOOK)
            except StillAtIt:
                if work.future.done():
                    raise  # an error of the work's own
            finally:
                self._tell()

    def _tell(self) -> None:
        """How far all stages under way are: nobody else says so while an asset waits."""
        for work in self._works.values():
            for name, step in list(work.steps.items()):
                if self._told.get(name) != step:
                    self._told[name] = step
                    tell(*step)

    def _can_begin(self, stage: Stage) -> bool:
        """Whether it asks a server, and all that it reads of what the run makes is made."""
        made_here = {one.table for one in self._stages if one.name not in self._done}
        return endpoint_of(stage) is not None and not any(one.table in made_here for one in stage.inputs)

    def _begin(self, stage: Stage) -> None:
        """Put it at the end of its endpoint's lane; those that fill the same table share a lane in any case."""
        work = self._works[stage.name] = _Work(stage)
        lane = endpoint_of(stage)
        for other in self._stages:
            if other.table == stage.table and other.name in self._works:
                lane = endpoint_of(other)
                break
        with self._lock:
            self._lanes.setdefault(lane, deque()).append(work)
            if lane not in self._threads:
                run = contextvars.copy_context().run
                thread = threading.Thread(target=run, args=(self._go, lane), name=f"pairwright-{stage.name}")
                thread.daemon = True
                self._threads[lane] = thread
                thread.start()

    def _go(self, lane: Hashable) -> None:
        while True:
            with self._lock:
                if not self._lanes[lane]:
                    del self._threads[lane]
                    return
                work = self._lanes[lane].popleft()
            try:
                with listening(work.take):
                    made = self._bring_up(work.stage)
            except BaseException as error:  # of any kind: its asset raises it
                work.future.set_exception(error)
            else:
                work.future.set_result(made)

    def end(self, stop: Callable[[], Any]) -> None:
        """Let nothing of it go on; what is in flight may end, for a while."""
        with self._lock:
            threads = list(self._threads.values())
            for lane in self._lanes.values():
                lane.clear()
        if threads:
            stop()
        end = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
