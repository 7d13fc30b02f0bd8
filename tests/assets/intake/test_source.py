"""Taking a source in as a whole: what stops it, how much it holds open, and real sources without loss."""

import resource
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import SHARED, table, wide, write_jsonl
from taking_in import taken

from pairwright.assets.storage.spool import Spool, unspool
from pairwright.schemas.errors import PairwrightError, SourceError
from pairwright.schemas.files import locked
from pairwright.schemas.ids import digest


@pytest.mark.parametrize("kind", ["field", "homeless"])
def test_on_bad_row_fail_stops_the_build_and_names_the_row(tmp_path: Path, kind: str) -> None:
    rows: list[Any] = [{"prompt": "q", "domain": "a", "responses": ["x"]}]
    extra: list[Any] = [{"prompt": "q", "response": "y"}]
    if kind == "field":
        rows.append({"prompt": ""})
    else:
        extra.append({"prompt": "nobody asked", "response": "y"})
    write_jsonl(tmp_path / "a.jsonl", rows)
    write_jsonl(tmp_path / "b.jsonl", extra)
    made, _ = taken(tmp_path, "a.jsonl", responses=[{"source": "b.jsonl"}])
    assert made.rejects == 1
    with pytest.raises(SourceError, match=r"[ab]\.jsonl, row 2: .*\(on_bad_row: fail\)"):
        taken(
            tmp_path,
            {"source": "a.jsonl", "on_bad_row": "fail"},
            responses=[{"source": "b.jsonl", "on_bad_row": "fail"}],
        )


def test_a_source_of_which_no_row_can_be_used_says_why(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": ""}, {"prompt": 3}, {"prompt": " "}])
    with pytest.raises(SourceError) as raised:
        taken(tmp_path, "a.jsonl")
    assert str(raised.value) == (
        "a.jsonl: all 3 rows are rejected: prompt is empty (2, first row 1); "
        "prompt is int (3), expected a text or a list of messages (1, first row 2)"
    )
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": "q"}])
    write_jsonl(tmp_path / "b.jsonl", [{"prompt": "r", "response": "a"}, {"prompt": "", "response": "a"}])
    with pytest.raises(
        SourceError, match=r"b\.jsonl: all 2 rows are rejected: no prompt of the prompts source .*; prompt is"
    ):
        taken(tmp_path, "a.jsonl", responses=[{"source": "b.jsonl"}])


@pytest.mark.parametrize("shards", [48, pytest.param(600, marks=pytest.mark.slow)])
def test_many_shards_need_few_open_files(tmp_path: Path, shards: int) -> None:
    write_jsonl(tmp_path / "a.jsonl", wide(1500, responses=2))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").exists() else 100
    resource.setrlimit(resource.RLIMIT_NOFILE, (there + 24, before[1]))
    try:
        made, workspace = taken(tmp_path, "a.jsonl", shards=shards)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert (made.prompts, made.responses) == (1500, 3000)
    assert table(workspace, "prompts").get_column("prompt_id").is_sorted()


def test_rows_come_out_of_the_scratch_files_as_they_went_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame({"prompt_id": [digest(str(i)) for i in range(500)], "row": range(500), "text": ["é"] * 500})
    for held, shards in ((1, 3), (1 << 20, 3), (1 << 20, 600)):
        monkeypatch.setattr("pairwright.assets.storage.spool.HELD", held)
        spool = Spool(tmp_path, f"{held}-{shards}", shards)
        for part in frame.iter_slices(64):
            spool.add(part)
        spool.close()
        parts = [unspool(tmp_path, f"{held}-{shards}", shard) for shard in range(shards)]
        found = [part for part in parts if part is not None]
        assert pl.concat(found).sort("row").equals(frame)


def test_real_sources_come_in_without_loss(tmp_path: Path) -> None:
    if not SHARED.is_dir():
        pytest.skip("the real data is not beside this checkout")
    made, workspace = taken(
        tmp_path,
        {"source": str(SHARED / "multi_response.parquet"), "columns": {"policy": "model"}},
        shards=4,
    )
    rows = pl.read_parquet(SHARED / "multi_response.parquet")
    assert made.rows == rows.height
    kept = table(workspace, "responses").get_column("sample_count").sum()
    assert kept + made.rejects == rows.height
    assert made.prompts == rows.filter(pl.col("prompt").str.strip_chars() != "").get_column("prompt").n_unique()


def test_another_process_at_work_is_told_not_waited_for(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", wide(2))
    with (
        locked(tmp_path / "data" / "tested" / "intake.lock"),
        pytest.raises(PairwrightError, match="in use by another build"),
    ):
        taken(tmp_path, "a.jsonl")
