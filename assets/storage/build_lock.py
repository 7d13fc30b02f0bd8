"""The lock of a data set: one builder at a time, from whatever side, for the whole of its run."""

import contextlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import StoreError
from pairwright.schemas.files import lock, sweep, writing

NAME = "build.lock"
_held: ContextVar[frozenset[Path]] = ContextVar("held", default=frozenset())
"""Locks of this thread of work, which may take them again."""


class Holder(NamedTuple):
    """Who builds a data set, as it stands in the lock's file."""

    command: str
    pid: int
    host: str
    since: str
    recipe: str

    def __str__(self) -> str:
        recipe = f", recipe {self.recipe}" if self.recipe else ""
        return f"{self.command} (process {self.pid} on {self.host}, since {self.since}{recipe})"


@contextlib.contextmanager
def building(
    workspace: Workspace,
    command: str,
    recipe: Path | None = None,
    wait: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
) -> Iterator[None]:
    """Be the one builder of a data set, and remove what killed ones left half-written.

    Another builder is waited for, up to `wait` seconds, after `say` was told who it is. Within the block the same lock
    can be taken again. Raises StoreError naming the holder.
    """
    path = workspace.root.resolve() / NAME
    if path in _held.get():
        yield
        return
    with writing(path):
        file = lock(path, wait, lambda: say(f"waiting: {workspace.dataset} is in use by {holder(path)}"))
    if file is None:
        raise StoreError(
            f"{workspace.dataset} is in use by {holder(path)}; stop it, or wait for it: `pairwright build --wait`"
        )
    with file:
        _held.set(_held.get() | {path})
        try:
            _sign(
                path,
                Holder(command, os.getpid(), socket.gethostname(), _now(), str(recipe.resolve() if recipe else "")),
            )
            sweep(workspace.root)
            yield
        finally:
            _held.set(_held.get() - {path})
            _sign(path, None)


def holder(path: Path) -> str:
    """Who holds a lock, in words; the file may be empty for a moment."""
    try:
        return str(Holder(**json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError, TypeError):
        return "another build"


def _sign(path: Path, who: Holder | None) -> None:
    """Write who holds the lock, in place: the lock is the file itself. Nothing hangs on it, so a full disk may pass."""
    with contextlib.suppress(OSError), path.open("r+", encoding="utf-8") as file:
        file.truncate()
        file.write(json.dumps(who._asdict()) if who else "")


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
