"""What comes in: every format, every form, and what becomes of rows that cannot be used."""

import gzip
import json
import random
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import SHARED, recipe_of, table, wide, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from pairwright.assets.intake.columns import settle
from pairwright.assets.intake.conform import conform
from pairwright.assets.intake.records import Records
from pairwright.assets.intake.source import Intake, take_in
from pairwright.assets.storage.spool import Spool, unspool
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError, SourceError
from pairwright.schemas.files import locked
from pairwright.schemas.ids import digest, prompt_id
from pairwright.schemas.sources import ColumnMap

LINE = b'{"prompt": "q", "responses": ["a", "bb"]}\n'
OTHER = b'{"prompt": "r", "responses": ["c"]}\n'


def taken(folder: Path, source: str | dict[str, Any], **parts: Any) -> tuple[Intake, Workspace]:
    block = {"source": source} if isinstance(source, str) else source
    recipe = recipe_of(folder, "unused", judges=[{"kind": "length"}], **{"shards": 1, **parts, "prompts": block})
    workspace = Workspace.of(recipe, folder / "data")
    return take_in(recipe, workspace), workspace


def rejects(workspace: Workspace) -> list[tuple[int, str]]:
    return pl.read_parquet(workspace.root / "rejects.parquet").select("row", "reason").rows()


def notices(workspace: Workspace) -> list[tuple[int, str]]:
    return pl.read_parquet(workspace.root / "notices.parquet").select("row", "reason").rows()


def texts(workspace: Workspace) -> dict[str, list[str]]:
    """The texts of the responses, by the last message of their prompt."""
    prompts = table(workspace, "prompts").select(
        "prompt_id", prompt=pl.col("messages").list.last().struct.field("content")
    )
    rows = prompts.join(table(workspace, "responses"), on="prompt_id", how="left").sort("prompt", "text")
    return {
        prompt: [text for text in found if text is not None]
        for prompt, found in rows.group_by("prompt").agg("text").rows()
    }


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


RUBBISH: list[tuple[bytes, str]] = [
    (b'{"prompt": "x", "responses": [1]}', "responses is int (1), expected a text"),
    (b'{"prompt": "x", "responses": {"a": 1}}', "responses is dict ({'a': 1}), expected a text"),
    (b'{"prompt": 7, "responses": ["a"]}', "prompt is int (7), expected a text or a list of messages"),
    (b'{"prompt": null, "responses": ["a"]}', "prompt is missing"),
    (b'{"responses": ["a"]}', "prompt is missing"),
    (b'{"prompt": "", "responses": ["a"]}', "prompt is empty"),
    (b'{"prompt": " \\u001f\\u3000\\n", "responses": ["a"]}', "prompt is empty"),
    (b'{"prompt": [], "responses": ["a"]}', "prompt is empty"),
    (b'{"prompt": ["q"], "responses": ["a"]}', "prompt: turn 1 is no message with role and content"),
    (b'{"prompt": [{"role": "user"}], "responses": []}', "prompt: turn 1 has no content"),
    (b'{"prompt": [{"role": "robot", "content": "q"}]}', "prompt: turn 1 has role 'robot'; allowed: "),
    (
        b'{"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}',
        "prompt ends with the assistant's turn, expected the user's",
    ),
    (b'{"prompt": "x", "responses": ["a"', "the line is not valid JSON: "),
    (b'{"prompt": "\\ud800", "responses": ["a"]}', "the line is not valid JSON: "),
    (b'{"prompt": "x\x00", "responses": ["a"]}', "the line is not valid JSON: "),
    (b'{"prompt": "\xff", "responses": ["a"]}', "the line is not valid UTF-8"),
    (b'{"prompt":' + b"[" * 3000 + b"]" * 3000 + b"}", "the line is not valid JSON: "),
    (b"[1, 2]", "the record is list ([1, 2]), expected an object"),
    (b"null", "the record is NoneType (None), expected an object"),
    (b'{"prompt": "x", "responses": ["a"], "domain": 3}', "domain is int (3), expected a text"),
    (b'{"prompt": "x", "references": [["a"]]}', "references is list (['a']), expected a text"),
    (b'{"prompt": "x", "responses": ["a", "b"], "policies": ["p"]}', "2 responses but 1 policies"),
]


def test_a_bad_row_is_rejected_with_its_number_and_reason_and_harms_no_other(tmp_path: Path) -> None:
    """A row with None does not set its batch to None, and one bad row does not end the build."""
    content = b""
    for number, (line, _) in enumerate(RUBBISH):
        good = {"prompt": f"good {number}", "responses": [f"answer {number}"], "policies": ["p"]}
        content += line + b"\n" + json.dumps(good).encode() + b"\n"
    (tmp_path / "a.jsonl").write_bytes(content)
    made, workspace = taken(tmp_path, "a.jsonl")
    found = rejects(workspace)
    assert [row for row, _ in found] == [1 + 2 * i for i in range(len(RUBBISH))]
    for (_, reason), (_, expected) in zip(found, RUBBISH, strict=True):
        assert reason.startswith(expected)
    assert texts(workspace) == {f"good {i}": [f"answer {i}"] for i in range(len(RUBBISH))}
    assert (made.rows, made.rejects) == (2 * len(RUBBISH), len(RUBBISH))


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


def test_a_prompt_column_of_bytes_is_rejected_not_guessed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": [b"q"], "response": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"prompt is bytes \(b'q'\), expected a text or a list of messages"):
        taken(tmp_path, "a.parquet")


def test_a_text_of_ten_million_characters_comes_through(tmp_path: Path) -> None:
    huge = "é" * 10_000_000
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": "q", "responses": [huge]}])
    assert texts(taken(tmp_path, "a.jsonl")[1]) == {"q": [huge]}


LATE: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "a mapped field": (
        [{"q": f"p{i}"} for i in range(9)] + [{"q": "late", "gold": ["g"]}],
        {"prompt": "q", "references": "gold"},
    ),
    "prompt after messages": ([{"messages": f"p{i}"} for i in range(9)] + [{"prompt": "late"}], {}),
    "response after none": ([{"prompt": f"p{i}"} for i in range(9)] + [{"prompt": "late", "response": "a"}], {}),
    "steps after none": (
        [{"prompt": f"p{i}", "steps": ["s"]} for i in range(9)]
        + [{"prompt": "late", "steps": ["t"], "step_labels": [1]}],
        {},
    ),
}


@pytest.mark.parametrize("case", LATE)
def test_what_a_row_becomes_does_not_depend_on_when_a_field_first_shows_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setattr("pairwright.assets.intake.read_text.BATCH", 4)
    rows, columns = LATE[case]
    seen = set()
    for order in (rows, rows[::-1]):
        write_jsonl(tmp_path / "a.jsonl", order)
        _, workspace = taken(tmp_path, {"source": "a.jsonl", "columns": columns})
        prompts = table(workspace, "prompts").drop("sketch").to_dicts()
        reasons = pl.read_parquet(workspace.root / "rejects.parquet").get_column("reason").sort().to_list()
        seen.add(str((prompts, texts(workspace), reasons)))
    assert len(seen) == 1 and "late" in seen.pop()


def test_a_field_that_is_in_one_of_several_files_is_a_column_of_all(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "1.jsonl", [{"prompt": "q"}])
    write_jsonl(tmp_path / "2.jsonl", [{"prompt": "r", "gold": "g"}])
    (tmp_path / "3.jsonl").write_bytes(b"")
    _, workspace = taken(tmp_path, {"source": "?.jsonl", "columns": {"references": "gold"}})
    assert sorted(table(workspace, "prompts").get_column("references").to_list()) == [[], ["g"]]
    with pytest.raises(SourceError, match=r"1\.jsonl: columns\.references names 'good'; the source has prompt"):
        taken(tmp_path, {"source": "?.jsonl", "columns": {"references": "good"}})


def test_fields_that_first_show_up_late_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairwright.assets.intake.read_text.BATCH", 4)
    rows: list[Any] = [None] * 5 + [{"prompt": f"p{i}"} for i in range(9)]
    rows += [{"prompt": "late", "responses": ["a"], "references": ["gold"], "domain": "d"}]
    write_jsonl(tmp_path / "a.jsonl", rows)
    made, workspace = taken(tmp_path, "a.jsonl")
    assert texts(workspace)["late"] == ["a"]
    kept = table(workspace, "prompts").filter(pl.col("domain") == "d")
    assert kept.get_column("references").to_list() == [["gold"]]
    assert made.rejects == 5


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


def test_rows_that_repeat_a_prompt_keep_their_responses_whatever_the_order(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "domain": "b", "references": ["1"], "tags": ["x"], "responses": ["x"]},
        {"prompt": "q", "domain": "a", "references": ["2", "1"], "source": "s", "responses": ["y"]},
        {"prompt": "q", "license": "mit", "responses": ["z"]},
        {"prompt": [{"role": "user", "content": "q"}], "tags": ["w", "x"], "domain": "c", "responses": ["w", "v"]},
        {"prompt": "other", "references": ["2", "2"], "responses": ["x"]},
    ]
    seen = set()
    for seed in range(6):
        random.Random(seed).shuffle(rows)
        write_jsonl(tmp_path / "a.jsonl", rows)
        made, workspace = taken(tmp_path, "a.jsonl")
        assert (made.prompts, made.responses, made.rejects, made.notices) == (2, 6, 0, 2)
        prompts = table(workspace, "prompts").drop("messages", "sketch")
        seen.add(
            (str(prompts.to_dicts()), str(texts(workspace)), str(sorted(reason for _, reason in notices(workspace))))
        )
    assert len(seen) == 1
    assert texts(workspace) == {"q": ["v", "w", "x", "y", "z"], "other": ["x"]}
    told = {reason.rpartition(" other ")[2] for _, reason in notices(workspace)}
    assert told == {"references, domain", "tags, domain"}
    found = {row["license"]: row for row in prompts.to_dicts()}
    assert found[None]["references"] == ["2", "2"], "what no other row contradicts stays as it is"
    assert (found["mit"]["references"], found["mit"]["tags"]) == (["1", "2"], ["w", "x"]), "the union"
    assert (found["mit"]["domain"], found["mit"]["source"]) == ("c", None), "of the row that has the say"


def test_rows_that_say_the_same_of_a_prompt_have_the_ids_that_they_always_had(tmp_path: Path) -> None:
    """Verdicts are kept under these."""
    rows = [
        {"prompt": "q", "references": ["1", "2"], "responses": ["x"]},
        {"prompt": "q", "tags": ["t"], "domain": "d", "responses": ["y"]},
        {"prompt": "q", "references": ["1", "2"], "domain": "d"},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    made, workspace = taken(tmp_path, "a.jsonl")
    assert (made.rejects, made.notices) == (0, 0)
    row = table(workspace, "prompts").row(0, named=True)
    assert (row["prompt_id"], row["references_id"]) == ("b4dcc44807e4d39c51288a58", "5c9fbd2720aee4357d1745e5")
    assert (row["references"], row["tags"], row["domain"]) == (["1", "2"], ["t"], "d")


def test_a_prompt_that_is_in_two_splits_is_held_out(tmp_path: Path) -> None:
    rows = [{"prompt": name, "split": split} for name in "abc" for split in ("train", "dev", "test")[: ord(name) - 96]]
    write_jsonl(tmp_path / "a.jsonl", rows)
    made, workspace = taken(tmp_path, "a.jsonl")
    found = table(workspace, "prompts").select(pl.col("messages").list.first().struct.field("content"), "split")
    assert sorted(found.rows()) == [("a", "train"), ("b", "validation"), ("c", "test")]
    assert {reason for _, reason in notices(workspace)} == {"the same prompt came with other split"}
    assert made.notices == 3


@pytest.mark.parametrize("gold", ["human_pairs", "multi_response"])
def test_no_response_of_a_real_source_is_lost_to_attributes_that_differ(tmp_path: Path, gold: str) -> None:
    if not SHARED.is_dir():
        pytest.skip("the real data is not beside this checkout")
    columns = {"responses": ["response_a", "response_b"]} if gold == "human_pairs" else {"policy": "model"}
    made, _ = taken(tmp_path, {"source": str(SHARED / f"{gold}.parquet"), "columns": columns})
    rows = pl.read_parquet(SHARED / f"{gold}.parquet").filter(pl.col("prompt").str.strip_chars() != "")
    sides = [name for name in rows.columns if name in ("response", "response_a", "response_b")]
    long = pl.concat([rows.select("prompt", text=side).drop_nulls() for side in sides])
    assert made.responses == long.n_unique()
    assert made.notices == (0 if gold == "multi_response" else 1)


def test_notices_are_counted_however_the_rows_are_batched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": "q", "domain": domain, "responses": [f"{i}"]} for i, domain in enumerate("abbbbabab")]
    write_jsonl(tmp_path / "a.jsonl", rows)
    for batch in (1, 2, 100):
        monkeypatch.setattr("pairwright.assets.intake.read_text.BATCH", batch)
        made, _ = taken(tmp_path, "a.jsonl", dataset=f"by-{batch}")
        assert (made.notices, made.responses, made.rejects) == (6, 9, 0)


def test_references_are_compared_as_lists(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": "q", "references": one} for one in (["a\x1fb"], ["a", "b"])])
    assert taken(tmp_path, "a.jsonl")[0].notices == 1


def test_the_same_text_twice_is_one_response_that_counts_both(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "response": "a", "policy": "m"},
        {"prompt": "q", "response": "a", "policy": "n"},
        {"prompt": "q", "response": "a", "policy": ""},
        {"prompt": "q", "response": "a "},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    _, workspace = taken(tmp_path, "a.jsonl")
    found = table(workspace, "responses").sort("text").select("text", "policies", "sample_count").rows()
    assert found == [("a", ["m", "n", "unknown"], 3), ("a ", ["unknown"], 1)]


def test_secondary_sources_give_responses_and_nothing_else(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "q", "source": "wiki", "license": "mit"}, {"prompt": "r"}])
    extra = [
        {"prompt": "q", "response": "a", "policy": "m", "source": "a model", "license": "closed", "domain": 3},
        {"prompt": "elsewhere", "response": "b"},
    ]
    write_jsonl(tmp_path / "r.jsonl", extra)
    made, workspace = taken(tmp_path, "p.jsonl", responses=[{"source": "r.jsonl"}], shards=7)
    assert texts(workspace) == {"q": ["a"], "r": []}
    assert (made.prompts, made.responses, made.rejects) == (2, 1, 1)
    assert rejects(workspace) == [(2, "no prompt of the prompts source has this text")]
    assert set(table(workspace, "prompts").get_column("license")) == {"mit", None}


def test_wide_form_names_policies_by_list_column_or_recipe(tmp_path: Path) -> None:
    both = {"policies": ["p", "q"], "x": "a", "y": "b", "list": ["a", "b"]}
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": "q", **both}])
    pq.write_table(pa.Table.from_pylist([{"prompt": "q", **both}]), tmp_path / "a.parquet")
    for source in ("a.jsonl", "a.parquet"):
        for columns, expected in (
            ({"responses": "list"}, ["p", "q"]),
            ({"responses": "list", "policies": ["s", "t"]}, ["s", "t"]),
            ({"responses": ["x", "y"]}, ["p", "q"]),
            ({"responses": ["x", "y"], "policies": ["s", "t"]}, ["s", "t"]),
        ):
            _, workspace = taken(tmp_path, {"source": source, "columns": columns})
            found = table(workspace, "responses").sort("text").get_column("policies").to_list()
            assert found == [[name] for name in expected]
    with pytest.raises(SourceError, match="1 policies for 2 response columns"):
        taken(tmp_path, {"source": "a.jsonl", "columns": {"responses": ["x", "y"], "policies": ["s"]}})


CALL = {"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
TOOLS: dict[str, tuple[dict[str, Any], str]] = {
    "half ids": (
        {"role": "assistant", "content": "", "tool_calls": [CALL, {**CALL, "id": None}]},
        "turn 2: tool call 2 has no id",
    ),
    "an answer": ({"role": "tool", "content": "22", "tool_call_id": "1"}, "turn 2 answers the tool call '1'"),
    "a user's call": ({"role": "user", "content": "", "tool_calls": [CALL]}, "turn 2 is a user's and has tool_calls"),
    "a picture": ({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, "turn 2: part 1 "),
}


@pytest.mark.parametrize("case", TOOLS)
@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_what_a_conversation_cannot_hold_is_rejected_not_dropped(tmp_path: Path, case: str, ending: str) -> None:
    message, reason = TOOLS[case]
    first, last = {"role": "user", "content": "q"}, {"role": "user", "content": "r"}
    plain = [first, {"role": "assistant", "content": "a"}, last]
    rows = [{"messages": plain}, {"messages": [first, message, last]}]
    if ending == "parquet":
        if case == "a picture":
            pytest.skip("has no Arrow type beside a text")
        pq.write_table(pa.Table.from_pylist(rows[::-1]), tmp_path / "a.parquet")
    else:
        write_jsonl(tmp_path / "a.jsonl", rows[::-1])
    _, workspace = taken(tmp_path, f"a.{ending}")
    ((row, told),) = rejects(workspace)
    assert row == 1 and told.startswith(f"messages: {reason}")
    assert table(workspace, "prompts").get_column("messages").to_list() == [plain]
    assert table(workspace, "prompts").item(0, "prompt_id") == prompt_id(plain)


SPLITS_AS_WRITTEN = {
    "train": ["train", "TRAIN", " Training ", "train_prefs", "train[:80%]", "train-00001", "trainset"],
    "validation": ["validation", "valid", "val", "dev", "Dev-mini", "eval", "evaluation", "validation_matched"],
    "test": ["test", "Test", "test_prefs", "testing", "heldout", "held-out", "holdout"],
}


def test_a_split_that_is_not_train_never_becomes_train(tmp_path: Path) -> None:
    names = [(split, name) for split, written in SPLITS_AS_WRITTEN.items() for name in written]
    rows = [{"prompt": name, "split": name} for _, name in names]
    rows += [{"prompt": "none", "split": " "}, {"prompt": "odd", "split": "trainval"}, {"prompt": "more", "split": "x"}]
    write_jsonl(tmp_path / "a.jsonl", rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    for source in ("a.jsonl", "a.parquet"):
        _, workspace = taken(tmp_path, source)
        found = table(workspace, "prompts").select(pl.col("messages").list.first().struct.field("content"), "split")
        assert dict(found.rows()) == {name: split for split, name in names} | {"none": None}
        assert [(row, reason[:41]) for row, reason in rejects(workspace)] == [
            (len(names) + 2, "split 'trainval' is none of train, valida"),
            (len(names) + 3, "split 'x' is none of train, validation (d"),
        ]
    _, workspace = taken(tmp_path, {"source": "a.jsonl", "columns": {"split": ""}})
    assert table(workspace, "prompts").get_column("split").null_count() == len(rows)


def test_the_column_system_is_taken_and_a_conversation_keeps_its_own(tmp_path: Path) -> None:
    own = [{"role": "system", "content": "own"}, {"role": "user", "content": "r"}]
    rows = [{"prompt": "q", "system": "be kind"}, {"prompt": "p", "system": None}]
    pl.DataFrame(rows).write_parquet(tmp_path / "a.parquet")
    talks = [{"prompt": own, "system": "be kind"}, {"prompt": own[1:], "system": "be kind"}]
    write_jsonl(tmp_path / "b.jsonl", rows + talks)
    kind = {"role": "system", "content": "be kind"}
    first = [[kind, {"role": "user", "content": "q"}], [{"role": "user", "content": "p"}]]
    for source, columns, expected in (
        ("a.parquet", {}, first),
        ("b.jsonl", {}, [*first, own, [kind, own[1]]]),
        ("b.jsonl", {"system": "system"}, [*first, [kind, *own], [kind, own[1]]]),
        ("a.parquet", {"system": ""}, [[{"role": "user", "content": "q"}], [{"role": "user", "content": "p"}]]),
    ):
        _, workspace = taken(tmp_path, {"source": source, "columns": columns})
        found = table(workspace, "prompts").get_column("messages").to_list()
        assert sorted(found, key=str) == sorted(expected, key=str)


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


CELL = st.one_of(st.none(), st.sampled_from(["", " ", "a", "b\x1c", "\x1f", "\u3000", "\x85", "é\x00", "long " * 60]))
ROW = st.fixed_dictionaries(
    {
        **dict.fromkeys(("prompt", "system", "response", "policy", "x", "y", "domain", "license"), CELL),
        "references": st.none() | st.lists(CELL, max_size=3),
        "gold": CELL,
        "responses": st.none() | st.lists(CELL, max_size=3),
        "policies": st.none() | st.lists(CELL, max_size=3),
    }
)
MAPS: dict[str, Callable[[], ColumnMap]] = {
    "long": lambda: ColumnMap(system="system", references=["references", "gold"], policy="policy"),
    "wide": lambda: ColumnMap(responses="responses", tags="gold", domain="domain"),
    "wide with policies": lambda: ColumnMap(responses="responses", policies="policies"),
    "one text": lambda: ColumnMap(responses="x", tags=["gold", "x"]),
    "columns": lambda: ColumnMap(responses=["x", "y"], license="domain"),
    "named columns": lambda: ColumnMap(responses=["x", "y"], policies=["m", "n"]),
    "columns with policies": lambda: ColumnMap(responses=["x", "y"], policies="policies"),
}


@pytest.mark.parametrize("form", MAPS)
@given(rows=st.lists(ROW, min_size=1, max_size=4))
def test_typed_columns_give_what_row_by_row_gives(form: str, rows: list[dict[str, Any]]) -> None:
    """The fast path's oracle is the slow one."""
    drop = {"response", "policy"} if form != "long" else {"responses", "policies"}
    if form in {"wide", "one text", "columns", "named columns"}:
        drop |= {"policies"}
    names = [name for name in rows[0] if name not in drop]
    lists = {"references", "responses", "policies"}
    schema = {name: pl.List(pl.String) if name in lists else pl.String for name in names}
    rows = [{name: row[name] for name in names} for row in rows]
    columns = settle(MAPS[form](), names, "test")
    fast = conform(Records("test", pl.DataFrame(rows, schema=schema), [], 1), columns)
    slow = conform(Records("test", None, [(i, row, None) for i, row in enumerate(rows, start=1)]), columns)
    assert fast.select("row", "bad", "excerpt").rows() == slow.select("row", "bad", "excerpt").rows()
    assert fast.filter(pl.col("bad").is_null()).equals(slow.filter(pl.col("bad").is_null()))
    assert fast.schema == slow.schema


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


def test_a_hub_dataset_that_cannot_be_reached_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the Hub dataset nobody/nothing cannot be reached"):
        taken(tmp_path, "hf://nobody/nothing")
