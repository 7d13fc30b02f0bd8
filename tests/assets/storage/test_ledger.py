"""Paid work: never lost, never paid for twice, whatever is torn off, moved, or in use."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pairwright.assets.storage.journal import journal_frames
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.schemas.errors import StoreError
from pairwright.schemas.files import locked
from pairwright.schemas.paid_tables import Scores

WANTED = ["prompt_id", "response_id", "evidence"]
TABLE = "verdicts/test-0"


def keys(*numbers: int) -> pl.DataFrame:
    """Keys spread evenly over all shards."""
    return pl.DataFrame(
        {
            "prompt_id": [f"{number * 0x11111111 % 2**32:08x}{number:016x}" for number in numbers],
            "response_id": [f"{number:024x}" for number in numbers],
            "evidence": [""] * len(numbers),
        },
        schema=dict.fromkeys(WANTED, pl.String),
    )


def scores(*numbers: int, failed: bool = False) -> pl.DataFrame:
    return keys(*numbers).with_columns(
        fingerprint=pl.lit("f"),
        criterion=pl.lit("c"),
        round=pl.lit(0, pl.UInt16),
        score=pl.lit(None if failed else 1.0, pl.Float64),
        failure=pl.lit("overloaded" if failed else None, pl.String),
        retry=pl.lit(failed),
    )


def ledger(data: Path, dataset: str = "one", shard: Shard = Shard(0, 1)) -> Ledger:  # noqa: B008 - a constant
    return Ledger(Workspace(data, dataset, shard.count), TABLE, shard, Scores, WANTED)


def journal(data: Path) -> Path:
    (found,) = (data / "one" / TABLE).glob("*.arrows")
    return found


def left(data: Path, *wanted: int, dataset: str = "one", shard: Shard = Shard(0, 1)) -> list[int]:  # noqa: B008
    with ledger(data, dataset, shard) as book:
        return sorted(int(one, 16) for one in book.missing(keys(*wanted)).get_column("response_id"))


def test_a_journal_torn_at_any_byte_of_its_last_batch_keeps_every_whole_batch(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1, 2))
        before = journal(tmp_path).stat().st_size
        book.append(scores(3))
        after = journal(tmp_path).stat().st_size
    content = journal(tmp_path).read_bytes()
    assert before < after == len(content)
    torn = tmp_path / "torn.arrows"
    for size in range(before, len(content) + 1):
        torn.write_bytes(content[:size])
        rows = pl.concat(journal_frames([torn])).height
        assert rows == (3 if size >= after else 2), f"torn at byte {size} of {after}"


def test_a_journal_torn_in_its_header_holds_nothing_and_stops_nobody(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1))
    path = journal(tmp_path)
    content = path.read_bytes()
    for size in range(0, 1200, 7):
        path.write_bytes(content[:size])
        assert left(tmp_path, 1, 2) in ([1, 2], [2])
    path.write_bytes(b"")
    with ledger(tmp_path) as book:
        assert book.missing(keys(1, 2)).height == 2
        book.append(scores(1, 2))
        book.merge("work")
    assert left(tmp_path, 1, 2) == []


def test_a_torn_journal_is_finished_by_the_next_run(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1))
        book.append(scores(2))
    path = journal(tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with ledger(tmp_path) as book:
        missing = book.missing(keys(1, 2, 3))
        book.append(scores(*(int(one, 16) for one in missing.get_column("response_id"))))
        book.merge("work")
        assert book.rows().height == 3
    assert not list((tmp_path / "one" / TABLE).glob("*.arrows"))
    assert left(tmp_path, 1, 2, 3) == []


def test_a_kill_between_writing_the_table_and_dropping_the_journal_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1, 2))
        segment = journal(tmp_path)
        content = segment.read_bytes()
        book.merge("work")
        table = book.path.read_bytes()
        segment.write_bytes(content)
        assert not book.is_done("work")
        assert book.missing(keys(1, 2)).is_empty()
        book.merge("work")
        assert book.is_done("work")
        assert book.path.read_bytes() == table


def test_failed_calls_are_not_cached_as_answers(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1))
        book.append(scores(2, failed=True))
        book.merge("work")
        assert not book.is_done("work"), "something is to be tried again"
    assert left(tmp_path, 1, 2) == [2]
    with ledger(tmp_path) as book:
        book.append(scores(2, failed=True))
        book.append(scores(2))
        book.merge("work")
        assert book.is_done("work")
        assert book.rows().get_column("score").null_count() == 0
        assert book.rows().height == 2


def test_an_answer_outlives_a_later_failure(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1))
        book.append(scores(1, failed=True))
        book.merge("work")
        assert book.rows().get_column("score").to_list() == [1.0]


def test_a_failure_that_asking_again_cannot_mend_is_kept(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1, failed=True).with_columns(retry=pl.lit(False)))
        book.merge("work")
        assert book.is_done("work")
    assert left(tmp_path, 1) == []


@pytest.mark.parametrize("merged", [True, False])
def test_work_under_another_shard_count_or_data_set_is_taken_over(tmp_path: Path, merged: bool) -> None:
    numbers = range(1, 16)
    for index in range(3):
        shard = Shard(index, 3)
        own = [n for n in numbers if int(keys(n).item(0, 0)[:8], 16) * 3 >> 32 == index]
        with ledger(tmp_path, "one", shard) as book:
            book.append(scores(*own))
            if merged:
                book.merge("work")
    assert left(tmp_path, *numbers) == []
    assert left(tmp_path, *numbers, 20, dataset="two") == [20]
    for index in range(7):
        own = [n for n in numbers if int(keys(n).item(0, 0)[:8], 16) * 7 >> 32 == index]
        assert left(tmp_path, *own, dataset="three", shard=Shard(index, 7)) == []


def test_failures_are_not_taken_over(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1, failed=True))
        book.merge("work")
    assert left(tmp_path, 1, dataset="two") == [1]


def test_what_killed_writers_leave_behind_stops_no_adoption(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1))
        book.merge("work")
        for name in (".00000-of-00002.parquet.77.tmp", "00000-of-00002.lock", "notes-of-mine.txt"):
            (book.path.parent / name).write_bytes(b"torn")
    assert left(tmp_path, 1, dataset="two") == []


def test_a_damaged_table_is_told_in_one_line(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(scores(1))
        book.merge("work")
        book.path.write_bytes(book.path.read_bytes()[:-9])
    with ledger(tmp_path) as book, pytest.raises(StoreError, match="damaged"):
        book.is_done("work")
    with pytest.raises(StoreError, match="damaged"):
        left(tmp_path, 1, dataset="two")


def test_nothing_that_breaks_a_rule_is_written(tmp_path: Path) -> None:
    broken = scores(1).with_columns(failure=pl.lit("both a score and a failure"))
    with ledger(tmp_path) as book, pytest.raises(StoreError, match="scored_or_failed"):
        book.append(broken)
    assert left(tmp_path, 1) == [1]


def test_another_process_holding_the_lock_is_told(tmp_path: Path) -> None:
    path = ledger(tmp_path).path.with_suffix(".lock")
    code = (
        "import sys; from pathlib import Path; from pairwright.schemas.files import locked\n"
        "with locked(Path(sys.argv[1])):\n print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        with pytest.raises(StoreError, match="in use by another build"), ledger(tmp_path):
            pass
    finally:
        os.kill(holder.pid, 9)
        holder.communicate()
    with locked(path):
        pass  # a killed holder holds nothing
