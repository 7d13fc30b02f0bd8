"""Progress in a run's log: a line now and then, so that the UI shows how far a step of many hours is."""

import functools
import threading
import time
from collections.abc import Callable

import dagster as dg

from pairwright.assets.display.progress import Step, overheard

EVERY = 10.0
"""Seconds between two lines of a stage."""
Make = Callable[[dg.AssetExecutionContext], dg.MaterializeResult]


def in_run_log(make: Make) -> Make:
    """An asset's function, of which all stages that tell how far they are do so in the run's log, too."""

    @functools.wraps(make)
    def told(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        log = RunLog(context.log.info)
        try:
            with overheard(log):
                return make(context)
        finally:
            log.close()

    return told


class RunLog:
    """Writes a line for each stage every EVERY seconds, and its last one. Any thread may call it."""

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._lock = threading.Lock()
        self._stages: dict[str, _Stage] = {}

    def __call__(self, step: Step) -> None:
        """Take note of a step, and write it where the last line is old enough or the stage is at its end."""
        with self._lock:
            now = self._clock()
            stage = self._stages.get(step.stage)
            if stage is None:  # whatever went on before has most likely come to its end
                self._say_the_rest(now)
            at_end = step.done == step.total and (stage is None or stage.step.done != step.done)
            stage = self._stages.setdefault(step.stage, _Stage(step, now))
            stage.step, stage.is_written = step, False
            if at_end or now - stage.written >= EVERY:
                self._say(stage, now)

    def close(self) -> None:
        """Write how far each stage came."""
        with self._lock:
            self._say_the_rest(self._clock())

    def _say_the_rest(self, now: float) -> None:
        for stage in self._stages.values():
            if not stage.is_written:
                self._say(stage, now)

    def _say(self, stage: "_Stage", now: float) -> None:
        stage.written, stage.is_written = now, True
        self._write(line(stage.step, stage.step.done - stage.start, now - stage.began))


class _Stage:
    """The newest step of a stage, where and when its first was, and when its last line was written."""

    def __init__(self, step: Step, now: float) -> None:
        self.step, self.start = step, step.done
        self.began, self.written = now, now
        self.is_written = False


def line(step: Step, lately: int, seconds: float) -> str:
    """A step as people read it: done, total, rate (`lately` done in `seconds`) and cost so far, where there are any."""
    parts = [f"{step.stage}: {step.done:,}" + ("" if step.total is None else f" of {step.total:,}")]
    if lately > 0 and seconds >= 1:
        rate = lately / seconds
        parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
    if step.cost_usd:
        parts.append(f"${step.cost_usd:,.2f}")
    return ", ".join(parts)
