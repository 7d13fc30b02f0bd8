"""Every format and form that a source may have, and what cannot be read."""

import gzip
import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import table, write_jsonl
from taking_in import LINE, OTHER, rejects, taken, texts

from pairwright.assets.intake.source import Intake
from pairwright.schemas.errors import SourceError


def zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content).to_pybytes()


CSV = b"prompt,response\nq,a\nq,bb\nr,c\n"
SAME = {
    "lines.jsonl": LINE + OTHER,
    "lines.ndjson": LINE + b"\n  \n" + OTHER.rstrip(),
    "crlf.jsonl": (LINE + OTHER).replace(b"\n", b"\r\n"),
    "bom.jsonl": b"\xef\xbb\xbf" + LINE + OTHER,
    "one.jsonl.gz": gzip.compress(LINE + OTHER),
    "members.jsonl.gz": gzip.compress(LINE) + gzip.compress(OTHER),
    "one.jsonl.zst": zstd(LINE + OTHER),
    "frames.jsonl.zst": zstd(LINE) + zstd(OTHER),
    "table.csv": CSV,
    "bom-crlf.csv": b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r\n"),
    "blank-lines.csv": CSV.replace(b"\n", b"\n\n"),
    "table.csv.gz": gzip.compress(CSV),
}


@pytest.mark.parametrize("name", SAME)
def test_each_text_format_gives_the_same_rows(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SAME[name])
    made, workspace = taken(tmp_path, name)
    assert texts(workspace) == {"q": ["a", "bb"], "r": ["c"]}
    assert made.rejects == 0


@pytest.mark.parametrize("form", ["wide", "long", "columns", "messages", "large", "dictionary", "view"])
def test_each_form_of_parquet_gives_the_same_rows(tmp_path: Path, form: str) -> None:
    columns: dict[str, Any] = {"responses": ["x", "y"]} if form == "columns" else {}
    long = {"prompt": ["q", "q", "r"], "response": ["a", "bb", "c"]}
    tables = {
        "wide": pa.table({"prompt": ["q", "r"], "responses": [["a", "bb", None], ["c"]]}),
        "long": pa.table(long),
        "columns": pa.table({"prompt": ["q", "r"], "x": ["a", "c"], "y": ["bb", None]}),
        "messages": pa.table(
            {"messages": [[{"role": "user", "content": one}] for one in "qr"], "responses": [["a", "bb"], ["c"]]}
        ),
        "large": pa.table({name: pa.array(values, pa.large_string()) for name, values in long.items()}),
        "dictionary": pa.table({name: pa.array(values).dictionary_encode() for name, values in long.items()}),
        "view": pa.table({name: pa.array(values, pa.string_view()) for name, values in long.items()}),
    }
    pq.write_table(tables[form], tmp_path / "rows.parquet")
    made, workspace = taken(tmp_path, {"source": "rows.parquet", "columns": columns})
    assert texts(workspace) == {"q": ["a", "bb"], "r": ["c"]}
    assert made.rejects == 0


def test_a_folder_written_by_datasets_and_its_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rows = {"train": [json.loads(LINE)], "extra": [json.loads(OTHER)]}
    datasets.DatasetDict({k: datasets.Dataset.from_list(v) for k, v in rows.items()}).save_to_disk(tmp_path / "saved")
    assert texts(taken(tmp_path, "saved")[1]) == {"q": ["a", "bb"]}
    assert texts(taken(tmp_path, {"source": "saved", "split": "extra"})[1]) == {"r": ["c"]}, (
        "another split is other rows"
    )
    with pytest.raises(SourceError, match=r"no split 'test'; it has train, extra"):
        taken(tmp_path, {"source": "saved", "split": "test"})


def test_a_damaged_datasets_folder_is_one_clear_line(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    datasets.Dataset.from_list([json.loads(LINE)]).save_to_disk(tmp_path / "saved")
    for path in (tmp_path / "saved").glob("*.arrow"):
        path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(SourceError, match="saved cannot be read by datasets"):
        taken(tmp_path, "saved")
    (tmp_path / "saved" / "state.json").write_text("{")
    with pytest.raises(SourceError, match="saved cannot be read by datasets"):
        taken(tmp_path, "saved")


def test_a_glob_reads_every_file_with_columns_of_its_own(tmp_path: Path) -> None:
    for folder, column in (("x", "prompt"), ("y", "messages")):
        (tmp_path / folder).mkdir()
        pq.write_table(
            pa.table({column: [f"from {folder}", None], "response": ["a", "b"]}), tmp_path / folder / "rows.parquet"
        )
    _, workspace = taken(tmp_path, "*/rows.parquet")
    assert texts(workspace) == {"from x": ["a"], "from y": ["a"]}
    named = pl.read_parquet(workspace.root / "rejects.parquet").get_column("source").to_list()
    assert named == ["x/rows.parquet", "y/rows.parquet"]


@pytest.mark.parametrize("name", ["[1].jsonl", "a*.jsonl", "a?.jsonl"])
def test_a_name_that_looks_like_a_pattern_is_found(tmp_path: Path, name: str) -> None:
    home = tmp_path / "[x]"
    home.mkdir()
    (home / name).write_bytes(LINE)
    assert taken(home, name)[0].prompts == 1


@pytest.mark.parametrize(
    ("files", "source", "columns", "message"),
    [
        ({"a.jsonl": LINE}, "b.jsonl", {}, r"no source at .*b\.jsonl; .* holds a\.jsonl"),
        ({}, "no/b.jsonl", {}, r"the folder .*no does not exist"),
        ({"a.txt": LINE}, "a.txt", {}, r"cannot read \.txt; allowed: .*\.parquet"),
        ({"a.jsonl": LINE}, "a.jsonl", {"prompt": "question"}, r"names 'question'; the source has prompt, responses"),
        ({"a.jsonl": b'{"text": "q"}\n'}, "a.jsonl", {}, r"no column 'prompt' or 'messages'.*: text"),
        ({"a.jsonl": b"[1]\n3\n{]\n\xff\n"}, "a.jsonl", {}, r"none of its 4 rows is a record"),
        ({"a.csv": b""}, "a.csv", {}, r"a\.csv is empty; a CSV source needs a header line"),
        ({"a.csv": b"prompt,response,response\nq,a,b\n"}, "a.csv", {}, r"two columns 'response'"),
        ({"a.csv": b"prompt\xff,response\nq,a\n"}, "a.csv", {}, r"header is not valid UTF-8"),
        ({"a.parquet": b""}, "a.parquet", {}, r"not readable Parquet"),
        ({"a.parquet": LINE}, "a.parquet", {}, r"not readable Parquet"),
        ({"a.jsonl.gz": gzip.compress(LINE * 999)[:-20]}, "a.jsonl.gz", {}, r"cannot be read: Truncated"),
        ({"a.csv.gz": gzip.compress(CSV * 999)[:-20]}, "a.csv.gz", {}, r"cannot be read: Truncated"),
        ({"a.csv.gz": CSV}, "a.csv.gz", {}, r"cannot be read: .*incorrect header"),
        ({"a.jsonl.zst": zstd(LINE * 999)[:-5]}, "a.jsonl.zst", {}, r"cannot be read: Truncated"),
        ({"a.jsonl.zst": LINE}, "a.jsonl.zst", {}, r"cannot be read"),
    ],
)
def test_what_cannot_be_read_at_all_is_one_clear_line(
    tmp_path: Path, files: dict[str, bytes], source: str, columns: dict[str, Any], message: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=message) as raised:
        taken(tmp_path, {"source": source, "columns": columns})
    assert "\n" not in str(raised.value)


def test_damaged_pages_of_parquet_are_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"prompt": [f"q{i}" for i in range(5000)]}), path, compression="none")
    content = bytearray(path.read_bytes())
    content[100:400] = b"\xff" * 300
    path.write_bytes(content)
    with pytest.raises(SourceError, match="not readable Parquet"):
        taken(tmp_path, "a.parquet")


def test_an_empty_source_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b"")
    made, workspace = taken(tmp_path, "a.jsonl", shards=3)
    assert made == Intake(prompts=0, responses=0, rows=0, rejects=0, notices=0, fresh=True)
    assert table(workspace, "prompts").is_empty()


def test_csv_rejects_ragged_rows_and_invalid_bytes_and_keeps_the_rest(tmp_path: Path) -> None:
    lines = [b"prompt,response", b"q,a", b"q", b"q,a,b", b"\xff,a", b'"two\nlines, quoted",b', b"nul\x00,c", b"'q\xff"]
    (tmp_path / "a.csv").write_bytes(b"\n".join(lines))
    _, workspace = taken(tmp_path, "a.csv")
    assert texts(workspace) == {"q": ["a"], "two\nlines, quoted": ["b"], "nul\x00": ["c"]}
    assert rejects(workspace) == [
        (2, "the row has 1 fields, the header 2"),
        (3, "the row has 3 fields, the header 2"),
        (4, "the row is not valid UTF-8"),
        (7, "the row has 1 fields, the header 2"),
    ]


def test_parquet_text_that_is_not_utf8_is_rejected_row_by_row(tmp_path: Path) -> None:
    offsets = pa.array([0, 1, 3, 4], pa.int32()).buffers()[1]
    broken = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"q\xff\xfer")])
    pq.write_table(pa.table({"prompt": broken, "response": ["a", "b", "c"]}), tmp_path / "a.parquet")
    _, workspace = taken(tmp_path, "a.parquet")
    assert texts(workspace) == {"q": ["a"], "r": ["c"]}
    assert rejects(workspace) == [(2, "the row is not valid UTF-8")]


def test_parquet_columns_of_odd_types_harm_nothing(tmp_path: Path) -> None:
    odd = {
        "a": pa.array([1, 2], pa.decimal256(50)),
        "b": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int32())),
        "c": pa.array([1, 2], pa.duration("s")),
        "d": pa.array([2**50, 1], pa.timestamp("s")),
        "_row": ["x", "y"],
    }
    for names in (["a"], ["b", "c", "d", "_row"]):
        chosen = {name: odd[name] for name in names}
        pq.write_table(
            pa.table({"prompt": ["q", "r"], "policies": [["p"], ["p"]], "responses": [["a"], ["c"]], **chosen}),
            tmp_path / "a.parquet",
        )
        assert texts(taken(tmp_path, "a.parquet")[1]) == {"q": ["a"], "r": ["c"]}


def test_a_text_of_ten_million_characters_comes_through(tmp_path: Path) -> None:
    huge = "é" * 10_000_000
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": "q", "responses": [huge]}])
    assert texts(taken(tmp_path, "a.jsonl")[1]) == {"q": [huge]}


def test_a_hub_dataset_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the Hub dataset nobody/nothing cannot be reached"):
        taken(tmp_path, "hf://nobody/nothing")
