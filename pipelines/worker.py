"""A worker: a process that makes shards of the processor's work, as it is told through its pipe.

It rebuilds the stages from the recipe, writes the files itself, and sends back what that came to. It ends when
its pipe does, and at once when its parent is gone, whatever it is at. Nothing large is imported before it has said how
many threads it may take.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Literal, NamedTuple

Told = Literal["ready", "step", "log", "made", "error"]


class Task(NamedTuple):
    """A shard to be brought up to date: the stage by its name, the shard by its place among all."""

    stage: str
    shard: int
    count: int  # type: ignore[assignment]

    @property
    def told(self) -> str:
        """What is made, for messages."""
        return f"{self.stage}, shard {self.shard + 1} of {self.count}"


class Call(NamedTuple):
    """A function of a module, to be called: what it is for, itself and what it is given."""

    told: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]


def main(pipe: Connection, recipe: bytes, data: Path, threads: int) -> None:
    """Serve a parent until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    Worker(pipe, recipe, data, threads).serve()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


class Worker:
    """The stages of a recipe, in a process of their own."""

    def __init__(self, pipe: Connection, recipe: bytes, data: Path, threads: int) -> None:
        import pyarrow as pa

        from pairwright.assets.flow import flow
        from pairwright.assets.storage.store import Workspace
        from pairwright.schemas.kinds import kinds

        pa.set_cpu_count(threads)
        self._pipe, self._lock = pipe, threading.Lock()
        kinds("judge")  # plug-ins are imported, so that the recipe's parts are known
        read = pickle.loads(recipe)  # noqa: S301 - from the parent, through its own pipe
        self._stages = {stage.name: stage for stage in flow(read)}
        self._workspace = Workspace.of(read, data)

    def serve(self) -> None:
        """Do one task after the other."""
        from pairwright.assets.display.progress import listening

        logger = logging.getLogger("pairwright")
        logger.addHandler(_Forward(self))
        logger.propagate = False
        self.tell("ready", None)
        with listening(lambda step: self.tell("step", tuple(step))):
            while True:
                try:
                    task = self._pipe.recv()
                except EOFError:
                    return
                try:
                    made = task.function(*task.arguments) if isinstance(task, Call) else self._bring_up(task)
                except Exception as error:  # of any kind: the parent raises it
                    self.tell("error", _portable(error))
                else:
                    self.tell("made", made)

    def _bring_up(self, task: Task) -> Any:
        from pairwright.assets.stages.run import Run
        from pairwright.assets.storage.store import Shard

        run = Run()
        try:
            return self._stages[task.stage].bring_up_shard(self._workspace, Shard(task.shard, task.count), run)
        finally:
            run.forget()

    def tell(self, what: Told, content: Any) -> None:
        """Send something to the parent; any thread may."""
        with self._lock:
            self._pipe.send((what, content))


class _Forward(logging.Handler):
    """Sends the lines of a log to the parent."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        self._worker.tell("log", (record.levelno, record.getMessage()))


def _portable(error: Exception) -> bytes:
    """An error as the parent can raise it: itself, or in words where it cannot be sent."""
    shown = "".join(traceback.format_exception(error))
    try:
        content = pickle.dumps(error)
        if type(pickle.loads(content)) is type(error):  # noqa: S301 - made in the line before
            return pickle.dumps((content, shown))
    except Exception:  # noqa: S110 - of any kind: then it is told in words
        pass
    return pickle.dumps((pickle.dumps(RuntimeError(shown)), shown))
