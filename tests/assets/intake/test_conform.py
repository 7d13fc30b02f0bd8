"""What becomes of a row: its fields in every form, and why it is rejected."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import table, write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from taking_in import rejects, taken, texts

from pairwright.assets.intake.columns import settle
from pairwright.assets.intake.conform import conform
from pairwright.assets.intake.records import Records
from pairwright.schemas.errors import SourceError
from pairwright.schemas.ids import prompt_id
from pairwright.schemas.sources import ColumnMap

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


def test_a_prompt_column_of_bytes_is_rejected_not_guessed(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": [b"q"], "response": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"prompt is bytes \(b'q'\), expected a text or a list of messages"):
        taken(tmp_path, "a.parquet")


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
