"""Tables on disk: whole or not there, stamped with what they were made from."""

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.assets.storage.store import (
    Shard,
    Workspace,
    content_version,
    replacing,
    scan,
    stamp_of,
    version_of,
    write,
)
from pairwright.schemas.errors import StoreError
from pairwright.schemas.tables import Rejects, check, empty

FRAME = pl.DataFrame({"text": [f"some longer text {i}" for i in range(9)], "list": [["x"] * (i % 3) for i in range(9)]})


@given(st.integers(1, 12), st.integers(1, 12))
def test_shards_overlap_when_their_ranges_of_ids_do(a: int, b: int) -> None:
    for i in range(a):
        for j in range(b):
            first = {step for step in range(a * b) if step // b == i}
            second = {step for step in range(a * b) if step // a == j}
            assert Shard(i, a).overlaps(Shard(j, b)) == bool(first & second)


def test_the_version_of_content_is_that_of_its_rows_alone() -> None:
    version = content_version(FRAME)
    same = [
        pl.concat([FRAME[:4], FRAME[4:]], rechunk=False),
        pl.concat([FRAME, FRAME]).filter(pl.int_range(pl.len()) < 9),
        FRAME.reverse().reverse(),
        FRAME.with_columns(pl.when(pl.col("text") != "").then(pl.col("list")).alias("list")),
    ]
    assert {content_version(one) for one in same} == {version}
    hidden = pl.DataFrame({"x": [1.0, 2.0], "y": ["hidden", "b"]}).select(
        pl.when(pl.col("x") > 1).then(pl.all()).name.keep(), z=~(pl.col("x") > 1)
    )
    open_ = pl.DataFrame({"x": [None, 2.0], "y": [None, "b"], "z": [True, False]})
    assert content_version(hidden) == content_version(open_)
    assert content_version(open_) != content_version(open_.reverse())
    other = [
        FRAME.reverse(),
        FRAME[:8],
        FRAME.rename({"text": "texts"}),
        FRAME.with_columns(text=pl.col("text") + " "),
        FRAME.with_columns(pl.col("text").cast(pl.Categorical)),
        FRAME.with_columns(text=pl.when(pl.int_range(pl.len()) > 0).then("text")),
    ]
    assert len({version, *(content_version(one) for one in other)}) == 7


def test_rows_have_one_version_from_memory_from_a_journal_and_from_parquet(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"id": [f"{i:024x}" for i in range(9)], "same": ["a longer constant text"] * 9, "no": [None] * 9}
    )
    frame = frame.cast({"no": pl.String})
    arrow = pl.from_arrow(frame.to_arrow(compat_level=pl.CompatLevel.oldest()))
    write(frame, tmp_path / "t.parquet", {})
    assert isinstance(arrow, pl.DataFrame)
    read = pl.read_parquet(tmp_path / "t.parquet")
    assert content_version(frame) == content_version(arrow) == content_version(read)


def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    write(FRAME, path, {"version": "1"})
    before = path.read_bytes()
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError
    assert [one.name for one in tmp_path.iterdir()] == ["t.parquet"]
    assert (path.read_bytes(), stamp_of(path)) == (before, {"version": "1"})


def test_the_same_table_is_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(FRAME, tmp_path / name, {"b": 1, "a": 2} if name == "a" else {"a": 2, "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_is_missing_damaged_or_foreign_is_told_in_one_line(tmp_path: Path) -> None:
    assert stamp_of(tmp_path / "none.parquet") == {}
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(StoreError, match=r"torn\.parquet is damaged"):
        stamp_of(tmp_path / "torn.parquet")
    FRAME.write_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(StoreError, match="was not written by Pairwright"):
        version_of(tmp_path / "foreign.parquet")
    with pytest.raises(StoreError, match=r"table pairs of d lacks 3 of 3 shards"):
        Workspace(tmp_path, "d", 3).files("pairs")


def test_a_row_that_breaks_a_rule_is_never_written() -> None:
    good = pl.DataFrame({"source": ["s"], "row": [1], "reason": ["r"], "excerpt": [""]}, schema=empty(Rejects).schema)
    assert check(good, Rejects).equals(good)
    for column in good.columns:
        with pytest.raises(StoreError, match=f"rejects breaks its rules.*{column}"):
            check(good.with_columns(pl.lit(None).cast(good.schema[column]).alias(column)), Rejects)


def test_a_column_that_came_later_counts_where_it_holds_something(tmp_path: Path) -> None:
    old = pl.DataFrame({"text": ["a", "b"]})
    new = old.with_columns(reasoning=pl.lit(None, pl.String), tool_calls=pl.lit(None, pl.String))
    assert content_version(new) == content_version(old), "the same rows, whoever wrote them"
    thought = new.with_columns(reasoning=pl.Series(["so", None]))
    assert content_version(thought) != content_version(old)
    assert content_version(old.with_columns(other=pl.lit(None, pl.String))) != content_version(old)
    paths = [tmp_path / "old.parquet", tmp_path / "new.parquet"]
    for frame, path in zip((old, thought), paths, strict=True):
        write(frame, path, {"version": content_version(frame)})
    for order in (paths, paths[::-1]):
        assert scan(order).select("text").collect().height == 4, "files of before and after are one table"
