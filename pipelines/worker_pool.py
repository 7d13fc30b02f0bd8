"""Worker processes of this machine, and how tasks are handed to them.

Workers are started anew, not forked: imports alone leave threads of polars and pyarrow behind, whose locks a forked
process would inherit without them.
"""

import contextlib
import logging
import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NamedTuple, cast

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.pipelines import worker
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

PATIENCE = 5.0
"""Seconds that a worker has to end before it is killed."""


class Failed(NamedTuple):
    """What came of a task that raised, or in place of one that could not be told."""

    error: Exception


class _Worker(NamedTuple):
    process: Any
    pipe: Connection


class Pool:
    """Up to `most` workers for a recipe, which serve one caller at a time."""

    def __init__(self, recipe: Recipe, data: Path, most: int) -> None:
        self._recipe, self._data, self.most = recipe, data, most
        self.workers: list[_Worker] = []
        self._starting: set[Connection] = set()

    def start(self, count: int) -> None:
        """See to it that there are so many, or all that there may be."""
        recipe, context = pickle.dumps(self._recipe), multiprocessing.get_context("spawn")
        threads = max(1, pl.thread_pool_size() // self.most)
        while len(self.workers) < min(count, self.most):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=worker.main,
                args=(theirs, recipe, self._data, threads),
                name=f"pairwright-worker-{len(self.workers)}",
                daemon=True,
            )
            process.start()
            theirs.close()
            self.workers.append(_Worker(process, ours))
            self._starting.add(ours)

    def do(self, tasks: Iterator[worker.Task | worker.Call], *, in_order: bool) -> Iterator[Any]:
        """What came of each task, as it comes or in their order; a worker has one at a time.

        The next one is asked for while all are at it. When one fails, its error is raised; then, and when the caller
        stops, all workers are ended. Raises PairwrightError for a worker that dies.
        """
        whole = False
        left, busy = enumerate(_to_the_end(tasks)), dict[Connection, tuple[int, worker.Task | worker.Call]]()
        ahead, found, turn, more = list[tuple[int, worker.Task | worker.Call]](), dict[int, Any](), 0, True
        idle = [one.pipe for one in self.workers if one.pipe not in self._starting]
        try:
            while more or ahead or busy:
                if more and not ahead:
                    number, task = next(left, (-1, None))
                    if task is None or isinstance(task, Failed):
                        more = False
                        found |= {number: task} if task else {}
                    else:
                        ahead.append((number, task))
                if ahead and idle:
                    self._send(idle.pop(), *ahead.pop(), busy)
                    continue
                for number, made in self._received(busy, idle) if busy or ahead else ():
                    found[number] = made
                    if isinstance(made, Failed):
                        more, ahead = False, []
                while ready := [one for one in (found if not in_order else [turn]) if one in found]:
                    turn += 1
                    made = found.pop(ready[0])
                    if isinstance(made, Failed):
                        raise made.error
                    yield made
            whole = True
        finally:
            if not whole:
                self.close()

    def _send(
        self, pipe: Connection, number: int, task: worker.Task | worker.Call, busy: dict[Connection, Any]
    ) -> None:
        busy[pipe] = (number, task)
        with contextlib.suppress(OSError):  # it is dead, which is told when it is heard
            pipe.send(task)

    def _received(
        self, busy: dict[Connection, tuple[int, worker.Task | worker.Call]], idle: list[Connection]
    ) -> Iterator[tuple[int, Any]]:
        """Wait until some worker has something to say; what was made, by its number."""
        for pipe in wait([*busy, *self._starting]):
            pipe = cast(Connection, pipe)
            try:
                what, content = pipe.recv()
            except (EOFError, OSError):
                task = busy[pipe][1] if pipe in busy else None
                raise self._died(pipe, f"made {task.told}" if task else "was starting") from None
            if what == "ready":
                self._starting.discard(pipe)
                idle.append(pipe)
            elif what in {"made", "error"}:
                idle.append(pipe)
                yield busy.pop(pipe)[0], content if what == "made" else Failed(_raised(content))
            else:
                _pass_on(what, content)

    def _died(self, pipe: Connection, at: str) -> PairwrightError:
        process = next(one.process for one in self.workers if one.pipe is pipe)
        process.join(PATIENCE)
        code = process.exitcode
        how = "ended" if code is None else f"ended with code {code}"
        if code is not None and code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        return PairwrightError(
            f"the worker process that {at}, {how}; a machine that runs out of memory ends processes so. Finished work "
            "is kept: build again, with fewer `--workers` or more `shards:`"
        )

    def close(self) -> None:
        """End all workers, whatever they are at."""
        workers, self.workers = self.workers, []
        self._starting.clear()
        for one in workers:
            one.pipe.close()
            one.process.terminate()
        for one in workers:
            one.process.join(PATIENCE)
            if one.process.exitcode is None:
                one.process.kill()
                one.process.join()


def _to_the_end(
    tasks: Iterator[worker.Task | worker.Call],
) -> Iterator[worker.Task | worker.Call | Failed]:
    """Tasks; what their source raises stands as the last of them, to be raised when those before it are done."""
    try:
        yield from tasks
    except Exception as error:  # of any kind: it is raised later
        yield Failed(error)


def _pass_on(what: str, content: Any) -> None:
    if what == "step":
        tell(*content)
    else:
        logging.getLogger("pairwright").log(*content)


def _raised(content: bytes) -> Exception:
    """An error of a worker."""
    packed, shown = pickle.loads(content)  # noqa: S301 - from our own worker
    error: Exception = pickle.loads(packed)  # noqa: S301
    if not isinstance(error, PairwrightError):
        error.add_note(f"raised in a worker process:\n{shown}")
    return error
