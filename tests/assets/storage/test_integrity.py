"""What is read is what was written: tables, records and journals that were changed behind our back."""

import json
import random
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pairwright.assets.storage import integrity
from pairwright.assets.storage.journal import Journal, journal_frames
from pairwright.assets.storage.ledger import Ledger
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan, write, write_record
from pairwright.schemas.errors import DamagedError
from pairwright.schemas.paid_tables import Scores

FRAME = pl.DataFrame({"text": [f"some text {i}" for i in range(50)], "score": [i / 7 for i in range(50)]})


def test_any_flipped_bit_of_a_table_is_noticed_before_a_row_is_handed_out(tmp_path: Path) -> None:
    path = tmp_path / "d" / "verdicts" / "x-1" / "t.parquet"
    write(FRAME, path, {"version": "1"})
    whole = path.read_bytes()
    start = whole.rfind(integrity.SUM.encode())
    name = range(start - 2, start + len(integrity.SUM) + 2)  # hit there, it is a table of before there were checksums
    for place in sorted({*range(0, len(whole), 5), *name}):
        content = bytearray(whole)
        content[place] ^= 1 << place % 8
        path.write_bytes(content)
        try:
            rows = read_table(path)
        except DamagedError as error:
            assert str(path) in str(error) and len(str(error).splitlines()) == 1
            if place not in name:
                with pytest.raises(DamagedError):
                    scan([path])
        else:
            assert place in name and rows.equals(FRAME)
    path.write_bytes(whole)
    assert read_table(path).equals(FRAME)


def test_tables_from_before_there_were_checksums_stay_readable_and_their_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    FRAME.write_parquet(path, metadata={"pairwright": json.dumps({"version": "1"})})
    assert read_table(path).equals(FRAME) and scan([path]).collect().equals(FRAME)
    content = path.read_bytes()
    path.write_bytes(content[:40] + b"\xff" * 60 + content[100:])
    with pytest.raises(DamagedError, match=r"t\.parquet is damaged"):
        read_table(path)


def test_a_record_says_what_was_written_or_nothing(tmp_path: Path) -> None:
    path, content = tmp_path / "r.json", {"prompts": 12, "name": "Grüße", "share": 0.25}
    assert integrity.read_record(path) is None
    write_record(path, content)
    whole = path.read_bytes()
    assert integrity.read_record(path) == content
    for place in range(len(whole) - 1):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        found = integrity.kept_record(path)  # where the name of the checksum is hit, it is one more entry
        assert found is None or found | content == found
    path.write_text(json.dumps(content), encoding="utf-8")
    assert integrity.read_record(path) == content


def rows(*numbers: int) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "prompt_id": [f"{number:024x}" for number in numbers],
            "response_id": [f"{number:024x}" for number in numbers],
            "evidence": "",
            "fingerprint": "f",
            "criterion": "c",
            "round": pl.Series([0] * len(numbers), dtype=pl.UInt16),
            "score": [float(number) for number in numbers],
            "failure": pl.Series([None] * len(numbers), dtype=pl.String),
            "retry": False,
        }
    )


def ledger(data: Path) -> Ledger:
    workspace = Workspace(data, "one", 1)
    return Ledger(workspace, "verdicts/test-0", Shard(0, 1), Scores, ["prompt_id", "response_id", "evidence"])


def scores(book: Ledger) -> set[float]:
    return set(book.rows().get_column("score"))


@pytest.mark.parametrize("damage", ["garbage", "zeros", "a bit"])
def test_what_lies_behind_damage_in_a_journal_is_read_and_the_file_is_kept(tmp_path: Path, damage: str) -> None:
    ends = []
    with ledger(tmp_path) as book:
        for number in range(6):
            book.append(rows(number))
            (path,) = book.path.parent.glob("*.arrows")
            ends.append(path.stat().st_size)
    whole, shuffled = path.read_bytes(), random.Random(0)
    for place in shuffled.sample(range(ends[1], ends[2]), 12):
        content = bytearray(whole)
        if damage == "a bit":
            content[place] ^= 4
        else:
            stop = min(place + 64, ends[2])
            content[place:stop] = (b"\0" if damage == "zeros" else b"\xab") * (stop - place)
        path.write_bytes(content)
        with ledger(tmp_path) as book:
            known = scores(book)
            assert known in ({0.0, 1.0, 3.0, 4.0, 5.0}, {float(number) for number in range(6)})
            if 2.0 in known:  # padding was hit
                continue
            book.merge("work")
        assert path.with_suffix(".damaged").read_bytes() == content
        with ledger(tmp_path) as book:
            assert scores(book) == known
            book.path.unlink()


def test_a_journal_whose_header_is_damaged_is_named(tmp_path: Path) -> None:
    with ledger(tmp_path) as book:
        book.append(rows(1))
        (path,) = book.path.parent.glob("*.arrows")
    path.write_bytes(b"\xab" * 40 + path.read_bytes()[40:])
    before = path.read_bytes()
    with ledger(tmp_path) as book, pytest.raises(DamagedError, match=path.name):
        book.rows()
    assert path.read_bytes() == before


def test_a_journal_from_before_there_were_checksums_is_read(tmp_path: Path) -> None:
    batch = pa.RecordBatch.from_pydict({"x": [1, 2]})
    with pa.OSFile(str(tmp_path / "j.arrows"), "wb") as file, pa.ipc.new_stream(file, batch.schema) as journal:
        journal.write_batch(batch)
    mine = Journal(tmp_path / "k.arrows", batch.schema)
    mine.append([batch])
    mine.close()
    both = [tmp_path / "j.arrows", tmp_path / "k.arrows"]
    assert pl.concat(journal_frames(both)).get_column("x").to_list() == [
        1,
        2,
        1,
        2,
    ]


def test_the_advice_for_a_damaged_file_says_what_moving_it_away_costs(tmp_path: Path) -> None:
    (tmp_path / "d" / "replies" / "llm-rating-0a").mkdir(parents=True)
    for table, says in {
        "verdicts/llm-rating-0a": "reads most of it from .*replies/llm-rating-0a without a call",
        "verdicts/bleu-0b": "computes it again",
        "replies/llm-rating-0a": "asks again for what it holds",
        "relabel/llm-rating-0a": "ages of its verdicts",
        "pairs": "costs nothing",
    }.items():
        path = tmp_path / "d" / table / "00000-of-00001.parquet"
        with pytest.raises(DamagedError, match=says):
            raise integrity.damaged(path, "why")
