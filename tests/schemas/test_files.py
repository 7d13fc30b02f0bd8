"""Files are written aside and renamed, or a full disk is told in one line."""

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace, write
from pairwright.schemas.errors import StoreError
from pairwright.schemas.files import locked, replacing, sweep
from pairwright.schemas.paid_tables import Replies


@contextlib.contextmanager
def small_disk(room: int) -> Iterator[None]:
    """No file may grow beyond that: the system answers as it does on a full disk, after taking what fits."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def reply(number: int) -> dict[str, object]:
    counts = {"prompt_tokens": 1, "completion_tokens": 1, "cost_usd": 0.0, "seconds": 0.0, "retry": False}
    return {"prompt_id": f"{number:024x}", "key": f"k{number}", "attempt": 0, "body": "x" * 3000, **counts}


def test_a_full_disk_under_a_table_is_one_line_and_the_old_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(pl.DataFrame({"a": [1]}), path, {"version": "1"})
    before = path.read_bytes()
    with (
        small_disk(50_000),
        pytest.raises(StoreError, match=r"t\.parquet could not be written: File too large; make room"),
    ):
        write(pl.DataFrame({"a": [os.urandom(40).hex() for _ in range(5000)]}), path, {"version": "2"})
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["t.parquet"]


def test_a_full_disk_under_a_journal_keeps_what_was_written_and_frees_the_lock(tmp_path: Path) -> None:
    ledger = Ledger(Workspace(tmp_path, "one", 1), "replies/test-0", Shard(0, 1), Replies, ["prompt_id"])
    with small_disk(50_000), pytest.raises(StoreError, match=r"00000-of-00001\.parquet could not be written"), ledger:
        for kept in range(100):
            ledger.append_row(reply(kept))
    assert 5 < kept < 50
    with ledger as book:  # the lock is free
        assert book.rows().height == kept
        for number in range(kept, 100):
            book.append_row(reply(number))
        assert book.rows().height == 100, "nothing hides behind a torn row"
        book.merge("work")
    with small_disk(50_000), ledger as book, pytest.raises(StoreError, match="could not be written"):
        book.append_row(reply(100) | {"body": "x" * 60_000})
    with ledger as book:
        assert book.rows().height == 100
        assert not list(book.path.parent.glob("*.arrows"))


def test_a_lock_is_free_when_its_holder_is_killed_and_what_it_left_is_swept(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from pairwright.schemas.files import replacing\n"
        "with replacing(Path(sys.argv[1])) as aside:\n aside.touch(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "t")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    sweep(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2, "it lives"
    holder.kill()
    holder.communicate()
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_lock_is_waited_for_as_long_as_is_asked(tmp_path: Path) -> None:
    with locked(tmp_path / "a.lock"), pytest.raises(StoreError, match="in use"), locked(tmp_path / "a.lock", wait=0.3):
        pass
    with replacing(tmp_path / "b") as path:
        path.touch()
