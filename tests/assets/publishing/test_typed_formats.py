"""What a release holds beside texts goes out where a format has a place for it, and is counted where it has none."""

import json
from pathlib import Path
from typing import Any

import datasets
import polars as pl
import pytest
import release_folder as hand
import yaml
from helpers import image

from pairwright.assets.publishing.export import Export, export, format_named
from pairwright.assets.releasing.versions import Release
from pairwright.assets.storage.media import put_bytes
from pairwright.schemas.conversation import stored
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.tool_calls import canonical

WEATHER = {"name": "weather", "description": "Tells it.", "parameters": {"type": "object", "properties": {}}}
TOOLS = canonical([{"type": "function", "function": WEATHER}])
CALL = {"id": "c1", "name": "weather", "arguments": {"city": "Rome"}}
ASKED = {"role": "user", "content": "How warm?"}
TALK = [
    ASKED,
    {"role": "assistant", "content": "", "tool_calls": [CALL], "reasoning": "look it up"},
    {"role": "tool", "tool_call_id": "c1", "content": "22"},
]
NOTHING = dict.fromkeys(
    ["typed", "tools", "chosen_reasoning", "rejected_reasoning", "chosen_tool_calls", "rejected_tool_calls"]
)
TEXT = dict.fromkeys(NOTHING, pl.String)


def pair(i: int, turns: list[dict[str, Any]], chosen: str, **more: Any) -> dict[str, Any]:
    messages, typed = stored(turns)
    return hand._pair(10 * i, messages, chosen, f"worse {i}", **{**NOTHING, "typed": typed, "split": "train", **more})


@pytest.fixture
def made(tmp_path: Path) -> Release:
    name = put_bytes(tmp_path / "media", "image", image())
    shown = [{"type": "image", "media": name}, {"type": "text", "text": "What is it?"}]
    rows = [
        pair(1, [ASKED], "plain"),
        pair(2, TALK, "22 degrees", tools=TOOLS, chosen_reasoning="it says 22"),
        pair(3, [ASKED], "", tools=TOOLS, chosen_tool_calls=canonical([CALL])),
        pair(4, [{"role": "user", "content": shown}], "red", rejected_reasoning="hm"),
        pair(5, [ASKED], "both", tools=TOOLS, chosen_tool_calls=canonical([CALL])),
    ]
    return hand.make(tmp_path / "releases" / "v1", rows, overrides=TEXT)


def exported(made: Release, kind: str, **options: Any) -> Export:
    return export(made, format_named(kind, **options), made.path.parents[1] / "out" / kind)


def load(out: Export) -> list[dict[str, Any]]:
    """As a trainer does, by the file alone."""
    cache = str(out.path.parent / "cache")
    return list(datasets.Dataset.from_parquet(str(out.path / "train.parquet"), cache_dir=cache))


def test_trl_has_messages_with_calls_tools_and_images(made: Release) -> None:
    plain, talk, call, seen, both = load(exported(made, "trl"))
    text = [{"type": "text", "text": "How warm?"}]
    assert plain["prompt"] == [{"role": "user", "content": text}] and plain["images"] == [] and plain["tools"] is None
    function = {"name": "weather", "arguments": {"city": "Rome"}}
    assert talk["prompt"][1]["tool_calls"] == [{"type": "function", "id": "c1", "function": function}]
    assert talk["prompt"][2] == {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "22"}]}
    assert "reasoning_content" not in talk["prompt"][1] and "tool_calls" not in talk["prompt"][0]
    assert json.loads(talk["tools"]) == [{"type": "function", "function": WEATHER}]
    assert call["chosen"][0]["tool_calls"][0]["function"] == function and "tool_calls" not in call["rejected"][0]
    assert both["chosen"][0]["content"] == [{"type": "text", "text": "both"}] and both["chosen"][0]["tool_calls"]
    assert seen["prompt"][0]["content"] == [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    [picture] = seen["images"]
    assert picture.size == (4, 4) and picture.convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_reasoning_is_left_out_kept_apart_or_put_between_tags(made: Release) -> None:
    out = exported(made, "trl-implicit")
    assert load(out)[1]["chosen"][-1] == {"role": "assistant", "content": "22 degrees"}
    assert "The reasoning of 1 rows was left out" in (out.path / "README.md").read_text()
    kept = load(exported(made, "trl-implicit", reasoning="keep"))[1]["chosen"]
    assert (kept[1]["reasoning_content"], kept[-1]["reasoning_content"]) == ("look it up", "it says 22")
    tags = load(exported(made, "trl-implicit", reasoning="think-tags"))[1]["chosen"]
    assert tags[-1]["content"] == "<think>\nit says 22\n</think>\n\n22 degrees"
    with pytest.raises(PairwrightError, match="has no place for it apart from the answer"):
        format_named("ultrafeedback", reasoning="keep")


def test_what_a_format_has_no_place_for_is_counted_by_what_it_is(made: Release) -> None:
    out = exported(made, "trl", plain=True, reasoning="think-tags")
    assert [row["chosen"] for row in load(out)] == ["plain"]
    assert out.stamp["left_out"] == {"train": 4}
    assert out.stamp["lacking"] == {"image": 1, "text beside tool calls": 1, "tool calls": 3, "tools": 3}
    assert "- 3 rows for their tools" in (out.path / "README.md").read_text()
    for kind in ("axolotl", "nemo-rl", "ultrafeedback", "openrlhf", "tulu"):
        assert exported(made, kind).stamp["left_out"]["train"] == 4


def test_llamafactory_has_function_calls_tools_and_files(made: Release) -> None:
    out = exported(made, "llamafactory-sharegpt")
    plain, talk, call, seen = map(json.loads, (out.path / "train.jsonl").read_text().splitlines())
    assert out.stamp["lacking"] == {"text beside tool calls": 1}
    said = '{"name": "weather", "arguments": {"city": "Rome"}}'
    assert talk["conversations"] == [
        {"from": "human", "value": "How warm?"},
        {"from": "function_call", "value": said},
        {"from": "observation", "value": "22"},
    ]
    assert json.loads(talk["tools"]) == [WEATHER] and plain["tools"] == "" and plain["images"] == []
    assert call["chosen"] == {"from": "function_call", "value": said} and call["rejected"]["from"] == "gpt"
    assert seen["conversations"] == [{"from": "human", "value": "<image>What is it?"}]
    assert (out.path / seen["images"][0]).read_bytes() == image()
    [entry] = json.loads((out.path / "dataset_info.json").read_text()).values()
    assert entry["columns"]["tools"] == "tools" and entry["columns"]["images"] == "images"


def test_placeholders_in_texts_would_be_taken_for_images(tmp_path: Path) -> None:
    """Of a conversation that only speaks of `<image>`, the trainer would look for a file."""
    rows = [
        pair(1, TALK, "fine", tools=TOOLS),
        pair(2, [*TALK[:2], {**TALK[2], "content": "<image>"}], "odd", tools=TOOLS),
    ]
    made = hand.make(tmp_path / "releases" / "v1", rows, overrides=TEXT)
    assert exported(made, "llamafactory-sharegpt").stamp["left_out"] == {"train": 1}


def test_stanzas_and_entries_of_texts_stay_what_they_are(tmp_path: Path) -> None:
    made = hand.make(tmp_path / "releases" / "v1")
    out = exported(made, "axolotl")
    assert yaml.safe_load((out.path / "axolotl.yaml").read_text())["rl"] == "dpo"
    assert "reasoning" not in out.stamp["format"] and "lacking" not in out.stamp
