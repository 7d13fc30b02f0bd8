"""Sources with images, tools and reasoning: what they hold comes into the tables, and media into the store."""

import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from helpers import image, recipe_of, table, write_jsonl

from pairwright.assets.intake.source import Intake, take_in
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.ids import prompt_id, response_id

WEATHER = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
CALLS = [{"id": "1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
READ = '[{"arguments":{},"id":"1","name":"weather"}]'


def taken(folder: Path, source: str, **columns: Any) -> tuple[Intake, Workspace]:
    block = {"source": source, "columns": columns}
    recipe = recipe_of(folder, "unused", judges=[{"kind": "length"}], shards=1, prompts=block)
    workspace = Workspace.of(recipe, folder / "data")
    return take_in(recipe, workspace), workspace


def reasons(workspace: Workspace) -> list[str]:
    return pl.read_parquet(workspace.root / "rejects.parquet").get_column("reason").to_list()


def test_images_of_every_kind_of_column_are_the_same_prompt(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image())
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]
    answers = {"responses": ["a dog", "a cat"]}
    write_jsonl(tmp_path / "paths.jsonl", [{"messages": asked, "pictures": ["a.png"], **answers}])
    write_jsonl(tmp_path / "texts.jsonl", [{"prompt": "<image>What?", "pictures": "a.png", **answers}])
    rows = [{"prompt": "What?", "pictures": [{"bytes": image(), "path": "x.png"}], **answers}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "bytes.parquet")
    found = []
    for source in ("paths.jsonl", "texts.jsonl", "bytes.parquet"):
        _, workspace = taken(tmp_path, source, images="pictures")
        found.append(table(workspace, "prompts").select("prompt_id", "messages", "typed").row(0))
        [name] = [path.name for path in (workspace.root / "media").iterdir()]
    assert len(set(map(str, found))) == 1
    key, messages, typed = found[0]
    assert messages == [{"role": "user", "content": "What?"}]
    expected = [{"type": "image", "media": name}, {"type": "text", "text": "What?"}]
    assert json.loads(typed) == [{"role": "user", "content": expected}]
    assert key == prompt_id(messages, typed) != prompt_id(messages)


def test_a_changed_image_is_another_prompt_and_an_unchanged_one_no_work(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image())
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": "What?", "responses": ["x"], "images": ["a.png"]}])
    made, workspace = taken(tmp_path, "a.jsonl", images="images")
    first = table(workspace, "prompts").item(0, "prompt_id")
    assert made.fresh and not taken(tmp_path, "a.jsonl", images="images")[0].fresh
    (tmp_path / "a.png").write_bytes(image("blue"))
    assert taken(tmp_path, "a.jsonl", images="images")[0].fresh
    assert table(workspace, "prompts").item(0, "prompt_id") != first
    for path in (workspace.root / "media").iterdir():
        path.unlink()
    assert taken(tmp_path, "a.jsonl", images="images")[0].fresh


def test_tools_calls_and_reasoning_come_in(tmp_path: Path) -> None:
    asked = [
        {"role": "user", "content": "How warm?"},
        {"role": "assistant", "content": None, "tool_calls": CALLS, "reasoning_content": "look it up"},
        {"role": "tool", "tool_call_id": "1", "content": "22"},
    ]
    answers = [
        {"role": "assistant", "content": "22 degrees", "reasoning_content": "as it says"},
        [{"role": "assistant", "content": None, "tool_calls": CALLS}],
        "warm",
    ]
    write_jsonl(tmp_path / "a.jsonl", [{"messages": asked, "tools": [WEATHER], "responses": answers}])
    _, workspace = taken(tmp_path, "a.jsonl", tools="tools")
    assert not reasons(workspace)
    prompt = table(workspace, "prompts").row(0, named=True)
    assert [turn["role"] for turn in prompt["messages"]] == ["user", "assistant", "tool"]
    assert json.loads(prompt["tools"]) == [WEATHER]
    assert json.loads(prompt["typed"])[1]["reasoning"] == "look it up"
    found = table(workspace, "responses").select("text", "reasoning", "tool_calls", "response_id").sort("text")
    assert [row[:3] for row in found.rows()] == [
        ("", None, READ),
        ("22 degrees", "as it says", None),
        ("warm", None, None),
    ]
    key = prompt["prompt_id"]
    assert found.item(2, 3) == response_id(key, "warm") and found.item(1, 3) != response_id(key, "22 degrees")


def test_reasoning_and_calls_in_columns_of_their_own(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "long.jsonl", [{"prompt": "q", "response": "4", "cot": "2+2", "reasoning": "not taken"}])
    write_jsonl(
        tmp_path / "wide.jsonl", [{"prompt": "q", "responses": ["4", ""], "cot": ["2+2", None], "c": [None, CALLS]}]
    )
    _, workspace = taken(tmp_path, "long.jsonl", reasoning="cot")
    assert table(workspace, "responses").select("text", "reasoning").rows() == [("4", "2+2")]
    _, workspace = taken(tmp_path, "wide.jsonl", reasoning="cot", tool_calls="c")
    found = table(workspace, "responses").select("text", "reasoning", "tool_calls").sort("text")
    assert found.rows() == [("", None, READ), ("4", "2+2", None)]
    _, workspace = taken(tmp_path, "long.jsonl")
    assert table(workspace, "responses").select("text", "reasoning").rows() == [("4", None)]


def test_what_cannot_be_used_is_rejected_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.png").write_bytes(image())
    (tmp_path / "in" / "no.png").write_text("none")
    (tmp_path / "in" / "huge.png").touch()
    os.truncate(tmp_path / "in" / "huge.png", 100 << 20)
    rows: list[dict[str, Any]] = [{"prompt": "fine", "responses": ["a"]}]
    rows += [
        {"prompt": "<image>", "images": [path], "responses": ["a"]} for path in ("../secret.png", "no.png", "huge.png")
    ]
    rows += [{"prompt": "<image><image>", "images": ["https://x.org/a.png"], "responses": ["a"]}]
    rows += [{"prompt": "t", "responses": [{"role": "assistant", "content": "", "reasoning": "hm"}]}]
    rows += [{"prompt": "t", "responses": ["a"], "tools": [{"type": "function"}]}]
    write_jsonl(tmp_path / "in" / "a.jsonl", rows)
    made, workspace = taken(tmp_path, "in/a.jsonl", images="images", tools="tools")
    assert made.prompts == 1
    for reason, expected in zip(
        reasons(workspace),
        [
            "prompt: turn 1: part 1 is '../secret.png', which lies outside the source's folder; put it there",
            "prompt: turn 1: part 1 is no image; an image may be png, jpg, gif, webp",
            "prompt: turn 1: part 1 has 104,857,600 bytes; an image may have 33,554,432",
            "prompt: turn 1: part 2 stands for image number 2, but the row has 1",
            "responses has reasoning only, and no answer",
            "tools: tool 1 has no name",
        ],
        strict=True,
    ):
        assert reason == expected
    assert not list((workspace.root).glob("media/*"))


def test_columns_of_more_than_text_are_taken_only_where_they_are_named(tmp_path: Path) -> None:
    row = {"prompt": "q", "images": ["gone.png"], "tools": [WEATHER], "response": "a", "reasoning": "r"}
    write_jsonl(tmp_path / "a.jsonl", [row])
    _, workspace = taken(tmp_path, "a.jsonl")
    [(key, typed, tools)] = table(workspace, "prompts").select("prompt_id", "typed", "tools").rows()
    assert (key, typed, tools) == (prompt_id([{"role": "user", "content": "q"}]), None, None)
    assert table(workspace, "responses").item(0, "response_id") == response_id(key, "a")


def test_pairs_with_images_and_tools_come_in_as_labelled(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image())
    seen = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
    sides = {
        name: [seen, {"role": "assistant", "content": text, "reasoning_content": f"thinks {text}"}]
        for name, text in (("chosen", "red"), ("rejected", "blue"))
    }
    write_jsonl(tmp_path / "a.jsonl", [{**sides, "images": ["a.png"], "tools": [WEATHER]}])
    _, workspace = taken(tmp_path, "a.jsonl", chosen="chosen", rejected="rejected", images="images", tools="tools")
    assert not reasons(workspace)
    [(typed, tools)] = table(workspace, "prompts").select("typed", "tools").rows()
    assert json.loads(typed)[0]["content"][0]["type"] == "image" and json.loads(tools) == [WEATHER]
    found = table(workspace, "responses").select("text", "reasoning").sort("text").rows()
    assert found == [("blue", "thinks blue"), ("red", "thinks red")]
