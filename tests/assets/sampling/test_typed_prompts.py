"""Policies are asked with tools and images as the protocol has them; what they do not read is a row that says so."""

import base64
import json
from pathlib import Path
from typing import Any

import polars as pl
from helpers import image, recipe_of, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.sampling import sample
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.storage.store import Workspace

CALL = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {}}}
TALK = [
    {"role": "user", "content": "How warm?"},
    {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "look"},
    {"role": "tool", "content": "22"},
]
SEEN = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}]


def drawn(folder: Path, **options: Any) -> tuple[list[dict[str, Any]], pl.DataFrame]:
    """The calls that a policy takes, and its samples."""
    (folder / "a.png").write_bytes(image())
    rows = [{"prompt": "plain"}, {"prompt": TALK, "tools": [TOOL]}, {"prompt": SEEN, "images": ["a.png"]}]
    write_jsonl(folder / "rows.jsonl", rows)
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any]) -> str:
        bodies.append(body)
        return "an answer"

    with serving(App(Settings(), answer)) as url:
        policy = {"name": "p", "kind": "openai", "model": "m", "base_url": url, "samples": 1, **options}
        source = {"source": "rows.jsonl", "columns": {"images": "images", "tools": "tools"}}
        made = recipe_of(folder, "rows.jsonl", prompts=source, policies=[policy], judges=[{"kind": "length"}], shards=1)
        workspace = Workspace.of(made, folder / "data")
        take_in(made, workspace)
        (shard,) = workspace.each_shard()
        (one,) = policies_of(made)
        sample.sample_shard(made, one, workspace, shard)
        return bodies, sample.samples_of(made, one, workspace, shard)


def last(body: dict[str, Any]) -> Any:
    return body["messages"][-1]["content"]


def test_tools_and_images_are_sent_as_the_protocol_has_them(tmp_path: Path) -> None:
    bodies, samples = drawn(tmp_path)
    assert len(bodies) == 2
    (talk,) = (body for body in bodies if "tools" in body)
    assert talk["tools"] == [{"type": "function", "function": TOOL}]
    asked, call, answered = talk["messages"]
    assert call["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert answered["tool_call_id"] == call["tool_calls"][0]["id"] and call["content"] is None
    assert asked == TALK[0] and "look" not in json.dumps(talk)
    found = samples.filter(pl.col("failure").is_not_null()).select("failure", "retry", "cost_usd").rows()
    assert found == [("cannot read an image", False, 0.0)]
    again, samples = drawn(tmp_path, input_modalities=["text", "image"])
    assert len(again) == 1 and samples.get_column("failure").null_count() == 3
    uri = last(again[0])[0]["image_url"]["url"]
    assert base64.b64decode(uri.removeprefix("data:image/png;base64,")) == image()
    assert drawn(tmp_path, input_modalities=["text", "image"])[0] == []


def test_a_base_model_is_not_asked_where_tools_are(tmp_path: Path) -> None:
    _, samples = drawn(tmp_path, kind="openai-completions")
    told = samples.get_column("failure").drop_nulls().sort().to_list()
    assert told == ["cannot read an image", "cannot read tools"]
