"""From a source with tools, images and reasoning to the release, its explanation and an export."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from helpers import build, image, recipe_of, write_jsonl

from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.releasing.explain import explain
from pairwright.assets.releasing.versions import Release, scan_release
from pairwright.cli import main

CALL = {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
SEEN = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]


def rows() -> list[dict[str, Any]]:
    thought = {"role": "assistant", "content": "It is 22 degrees", "reasoning_content": "I looked it up"}
    calls = {"role": "assistant", "content": "Let me see", "tool_calls": [CALL]}
    return [
        {"prompt": "plain", "responses": ["a", "bb"]},
        {"prompt": SEEN, "images": ["a.png"], "responses": ["red", "a dog"]},
        {"prompt": "How warm?", "tools": [TOOL], "responses": [thought, calls]},
    ]


@pytest.fixture
def made(tmp_path: Path) -> Release:
    (tmp_path / "a.png").write_bytes(image())
    write_jsonl(tmp_path / "rows.jsonl", rows())
    source = {"source": "rows.jsonl", "columns": {"images": "images", "tools": "tools"}}
    release = {"test_fraction": 0}
    recipe = recipe_of(
        tmp_path,
        "rows.jsonl",
        prompts=source,
        judges=[{"kind": "length"}],
        jury={"weights": {"length": 1}},
        release=release,
    )
    return build(recipe, tmp_path / "data")


def pairs(made: Release) -> dict[str, dict[str, Any]]:
    found = scan_release(made.path, "pairs").collect().to_dicts()
    return {row["prompt"][-1]["content"]: row for row in found}


def test_a_release_holds_what_the_source_held(made: Release) -> None:
    found = pairs(made)
    assert found["plain"]["typed"] is None and found["plain"]["tools"] is None
    [turn] = json.loads(found["What is it?"]["typed"])
    assert (made.path.parents[1] / "media" / turn["content"][0]["media"]).read_bytes() == image()
    warm = found["How warm?"]
    assert json.loads(warm["tools"])[0]["function"]["name"] == "weather"
    assert (warm["chosen_reasoning"], warm["rejected_reasoning"]) == ("I looked it up", None)
    assert json.loads(warm["rejected_tool_calls"])[0]["arguments"] == {"city": "Rome"}
    lists = scan_release(made.path, "rankings").filter(pl.col("tools").is_not_null()).collect().row(0, named=True)
    assert lists["reasoning"] == ["I looked it up", None] and lists["tool_calls"][0] is None
    out = export(made, format_named("trl", reasoning="keep"), made.path.parents[1] / "out")
    assert out.stamp["left_out"] == {"train": 0}


def test_an_explanation_tells_what_stands_beside_the_texts(made: Release, tmp_path: Path) -> None:
    found = {text: explain(row["pair_id"], tmp_path / "data") for text, row in pairs(made).items()}
    assert "typed" not in found["plain"] and "reasoning" not in found["plain"]["chosen"]
    assert found["What is it?"]["typed"][0]["content"][0]["type"] == "image"
    assert found["How warm?"]["rejected"]["tool_calls"][0]["name"] == "weather"
    for text, told in (
        ("What is it?", "image: "),
        ("How warm?", "tools: weather"),
        ("How warm?", '  calls weather({"city": "Rome"})'),
        ("How warm?", "  after reasoning of 14 characters: I looked it up"),
    ):
        answer = CliRunner().invoke(main, ["explain", found[text]["pair_id"], "--data", str(tmp_path / "data")])
        assert told in answer.output


def test_a_release_of_texts_has_the_columns_that_it_had(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows()[:1])
    made = build(
        recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}], jury={"weights": {"length": 1}}),
        tmp_path / "data",
    )
    names = {*scan_release(made.path, "pairs").collect_schema(), *scan_release(made.path, "rankings").collect_schema()}
    assert not names & {"typed", "tools", "reasoning", "tool_calls", "chosen_reasoning", "rejected_tool_calls"}
