"""The one way to write a file or a folder: aside, synced, renamed; and locks, which end with their holder."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

import polars as pl

from pairwright.schemas.errors import StoreError

POLL = 0.2
"""Seconds between two tries for a lock that another holds."""
ASIDE = re.compile(r"\.(?P<name>.+)\.(?:[0-9a-f]{16}|\d+)(?:\.old)?\.(?:tmp|lock)")
"""Names of what is written aside, and of the lock beside it; a token, or in older versions the process, tells them
apart."""
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
UNWRITABLE = FULL | {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM}


def lock(path: Path, wait: float = 0.0, waiting: Callable[[], None] = lambda: None) -> TextIO | None:
    """The open file that holds a lock until it is closed, or its process ends, however it ends.

    None when another holds it for longer than `wait` seconds; `waiting` is called once, before the wait. Raises OSError
    where there can be no such file, and StoreError where the file system has no locks.
    """
    end = time.monotonic() + wait
    told = False
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_there(path, file):
                return file
            file.close()  # its holder has just removed it
            continue
        except BlockingIOError:
            file.close()
        except OSError as error:
            file.close()
            raise StoreError(
                f"{path} cannot be locked ({error.strerror}); keep it on a file system with locks"
            ) from error
        if time.monotonic() >= end:
            return None
        if not told:
            waiting()
            told = True
        time.sleep(min(POLL, max(0.0, end - time.monotonic())))


def _is_there(path: Path, file: TextIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def locked(path: Path, wait: float = 0.0) -> Iterator[None]:
    """Hold a lock file. Raises StoreError when another process still holds it after `wait` seconds."""
    with writing(path):
        file = lock(path, wait)
    if file is None:
        raise StoreError(f"{path.parent} is in use by another build; wait for it or stop it")
    with file:
        yield


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raises StoreError in one line that names the path, where the disk does not take what the block writes."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        number = error_number(error)
        if number not in UNWRITABLE:
            raise
        room = "make room there" if number in FULL else "see to it"
        raise StoreError(
            f"{path} could not be written: {os.strerror(number)}; {room}, then build again: what was finished is kept"
        ) from error


def error_number(error: BaseException) -> int:
    """The system's number of an error of the disk, also where a library wraps it in its own; else 0."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, pl.exceptions.PolarsError) else None
    return int(found[1]) if found else 0


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`, renamed onto it when the block ends well and removed when it does not.

    Raises StoreError when the disk is full, and where a folder of that name is in the way.
    """
    if path.is_dir():
        raise StoreError(f"{path} is a folder, where a file of that name is to be written; move it away")
    with writing(path), _aside(path) as temporary:
        yield temporary
        sync(temporary)
        temporary.replace(path)


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that is removed when the block ends, unless `commit` made it the folder `path`."""
    with _aside(path) as aside:
        folder = aside / "new"
        folder.mkdir(parents=True)
        yield folder


def commit(folder: Path, path: Path) -> None:
    """Make a scratch folder of `path` that folder, whole or not at all; what was there before goes."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            sync(file)
    if path.exists():
        path.rename(folder.with_name("old"))
    folder.rename(path)


@contextlib.contextmanager
def _aside(path: Path) -> Iterator[Path]:
    """A path beside `path` that belongs to this block: a lock beside it is held, so that `sweep` lets it be."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    owner = temporary.with_suffix(".lock")
    file = lock(owner, wait=60)  # a sweep may have come upon it before it was locked
    if file is None:
        raise StoreError(f"{owner} is held by another process; remove it when nobody writes there")
    with file:
        try:
            yield temporary
        finally:
            _remove(temporary)
            owner.unlink(missing_ok=True)


def file_state(path: Path) -> tuple[int, int]:
    """Tells a file from the one that takes its place, and from none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_ino, found.st_mtime_ns)


def sync(path: Path) -> None:
    """Ask the system to put a file's bytes on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove what killed writers left in a folder and below, or of the one `name` in the folder itself.

    A writer holds a lock beside what it writes, so what nobody holds is dead, whatever machine its writer ran on.
    """
    for path in sorted(folder.rglob(".*") if name is None else folder.glob(".*")):
        found = ASIDE.fullmatch(path.name)
        if found and name in (None, found["name"]) and (path.exists() or path.is_symlink()):
            _sweep_one(path.with_suffix(".tmp"))


def _sweep_one(temporary: Path) -> None:
    owner = temporary.with_suffix(".lock")
    if not owner.exists():  # a writer has its lock before anything else
        _remove(temporary)
        return
    file = lock(owner)
    if file is not None:
        with file:
            _remove(temporary)
            owner.unlink(missing_ok=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
