"""Whatever lies in a source, a build ends in a release or in one of our errors, and its promises hold."""

import csv
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from helpers import build, data_files, recipe_of, table
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError

TEXT = st.one_of(
    st.sampled_from(["", " ", "\n", "q", "Q", "a b c", "a b d", "\x00", "🙂", "e\u0301", "\u202e", "东京", "x" * 300]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.just({}),
    st.just([[]]),
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "system", "assistant", "tool", "robot"]), "content": TEXT | ODD}
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "prompt": st.one_of(TEXT, TEXT, st.lists(MESSAGE, max_size=3), ODD),
        "references": st.one_of(TEXT, st.lists(TEXT, max_size=2), ODD),
        "responses": st.one_of(st.lists(TEXT, max_size=4), st.lists(TEXT | ODD, max_size=3), TEXT, ODD),
        "policies": st.one_of(st.lists(TEXT, max_size=4), ODD),
        "domain": TEXT | ODD,
        "split": st.sampled_from(["train", "test", "Test", "", "validation", None]),
        "tags": st.lists(TEXT, max_size=2) | ODD,
    },
)
GOOD = st.fixed_dictionaries({"prompt": st.sampled_from("pqr"), "responses": st.lists(TEXT, min_size=2, max_size=5)})
LINE = st.one_of(
    ROW.map(lambda row: json.dumps(row).encode()),
    GOOD.map(lambda row: json.dumps(row).encode()),
    st.sampled_from(
        [b"", b"{", b"null", b"[]", b"\xff", b"\xef\xbb\xbf{}", b'{"prompt": "\\ud800"}', b'{"prompt": NaN}', b"\x00"]
    ),
)
PARTS = st.fixed_dictionaries(
    {
        "shards": st.sampled_from([1, 2, 5]),
        "judges": st.sampled_from(
            [
                [{"kind": "length"}],
                [{"kind": "bleu"}, {"kind": "unigram-f1"}],
                [{"kind": "bleu", "references": "mean"}, {"kind": "test-counting", "values": 2, "fails": "a"}],
            ]
        ),
        "pairs": st.fixed_dictionaries(
            {
                "strategy": st.sampled_from(
                    ["best-vs-worst", "best-vs-random", "best-vs-random-non-max", "adjacent", "all"]
                ),
                "max_per_prompt": st.sampled_from([None, 1, 2]),
            }
        ),
        "filters": st.lists(
            st.sampled_from(
                [
                    {"kind": "margin", "minimum": 0.1},
                    {"kind": "near-identical", "keep_fraction": 0.7},
                    {"kind": "length-ratio", "minimum": 0.1},
                ]
            ),
            max_size=3,
            unique_by=lambda one: str(one["kind"]),
        ),
        "release": st.fixed_dictionaries({"test_fraction": st.sampled_from([0.0, 0.3, 0.9])}),
    }
)


def promises(folder: Path, source: str, parts: dict[str, Any]) -> None:
    recipe = recipe_of(folder, source, **parts)
    try:
        made = build(recipe, folder / "data")
    except PairwrightError as problem:
        assert "\n" not in str(problem)
        return
    workspace = Workspace.of(recipe, folder / "data")
    pairs = table(workspace, "pairs")
    responses = dict(table(workspace, "responses").select("response_id", "text").iter_rows())
    for chosen, rejected, better, worse in pairs.select(
        "chosen_id", "rejected_id", "score_chosen", "score_rejected"
    ).iter_rows():
        assert responses[chosen] != responses[rejected]
        assert better > worse
    for before, after in zip(made.manifest["funnel"][2:], made.manifest["funnel"][3:], strict=False):
        assert before["left"] == after["entered"] == before["entered"] - before["dropped"]
    released = pl.concat([pl.read_parquet(path) for path in made.path.glob("pairs/*")], how="vertical")
    assert released.height == pairs.filter("kept").height > 0
    assert build(recipe, folder / "data").version == "v1"
    other = recipe_of(folder, source, **(parts | {"shards": 3, "dataset": "again"}))
    assert data_files(build(other, folder / "again").path) == data_files(made.path)


@settings(max_examples=16)
@given(st.lists(LINE, max_size=8), PARTS)
def test_json_lines_of_rubbish(lines: list[bytes], parts: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "rows.jsonl").write_bytes(b"\n".join(lines))
        promises(Path(folder), "rows.jsonl", parts)


@settings(max_examples=8)
@given(st.lists(st.lists(TEXT, min_size=2, max_size=4), max_size=8), st.binary(max_size=20), PARTS)
def test_csv_of_rubbish(rows: list[list[str]], tail: bytes, parts: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        text = io.StringIO()
        csv.writer(text).writerows([["prompt", "response", "references"], ["q", "a", ""], ["q", "bb", "a"], *rows])
        (Path(folder) / "rows.csv").write_bytes(text.getvalue().encode() + tail)
        promises(Path(folder), "rows.csv", parts)


@settings(max_examples=8)
@given(
    st.lists(
        st.tuples(st.none() | TEXT, st.none() | st.lists(st.none() | TEXT, max_size=4), st.none() | TEXT),
        min_size=1,
        max_size=8,
    ),
    PARTS,
)
def test_parquet_of_rubbish(rows: list[Any], parts: dict[str, Any]) -> None:
    schema = {"prompt": pl.String, "responses": pl.List(pl.String), "references": pl.String}
    with TemporaryDirectory() as folder:
        rows = [("q", ["a", "bb", "a bb"], "a bb c"), *rows]
        pl.DataFrame(rows, schema=schema, orient="row").write_parquet(Path(folder) / "rows.parquet")
        promises(Path(folder), "rows.parquet", parts)
