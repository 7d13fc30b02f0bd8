"""Judges that ask a model are shown images, calls and reasoning; what they do not read is a row that says so."""

import base64
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import build, image, recipe_of, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.judging.verdicts import judges_of, response_scores, verdicts_table
from pairwright.assets.storage.store import Workspace
from pairwright.judges.llm.typed import shown_conversation, shown_response, with_media
from pairwright.pipelines.plan import plan
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.tool_calls import canonical

CALL = {"id": "c1", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}}
TOOL = {"name": "weather", "parameters": {"type": "object", "properties": {}}}


def rows() -> list[dict[str, Any]]:
    """A prompt of texts, one with an image, one with tools whose responses think and call."""
    seen = [{"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "image"}]}]
    thought = {"role": "assistant", "content": "22 degrees", "reasoning_content": "I looked"}
    call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    return [
        {"prompt": "plain", "responses": ["a", "bb"]},
        {"prompt": seen, "images": ["a.png"], "responses": ["red", "a dog"]},
        {
            "prompt": "How warm?",
            "tools": [TOOL],
            "responses": [thought, call, "no idea"],
        },
    ]


class Asked:
    """A data set that is built with a judge, and what its server was asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "a.png").write_bytes(image())
        write_jsonl(folder / "rows.jsonl", rows())

    def build(self, **options: Any) -> list[dict[str, Any]]:
        """The calls of a build."""
        bodies: list[dict[str, Any]] = []

        def answer(body: dict[str, Any]) -> str:
            bodies.append(body)
            return '{"rationale": "r", "rating": 3}'

        with serving(App(Settings(), answer)) as url:
            judge = {"kind": "llm-rating", "model": "m", "base_url": url, "aspects": ["helpfulness"], **options}
            source = {"source": "rows.jsonl", "columns": {"images": "images", "tools": "tools"}}
            judges = [judge, {"kind": "length"}]
            self.recipe = recipe_of(
                self.folder, "rows.jsonl", prompts=source, judges=judges, jury={"weights": {"length": 1}}, shards=1
            )
            build(self.recipe, self.folder / "data")
        return bodies

    def scores(self, number: int = 0) -> dict[str, Any]:
        """Text → score or why there is none."""
        workspace = Workspace.of(self.recipe, self.folder / "data")
        (shard,) = workspace.each_shard()
        found = response_scores(judges_of(self.recipe)[number], workspace, shard).collect()
        texts = pl.read_parquet(workspace.file("responses", shard)).select("response_id", "text")
        named = found.join(texts, on="response_id").select("text", "score", "failure")
        return {text: score if failure is None else failure for text, score, failure in named.iter_rows()}


def text_of(body: dict[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    return content if isinstance(content, str) else content[0]["text"]


def test_images_are_judged_where_the_model_reads_them_and_nothing_else_is_asked_again(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    first = asked.build()
    assert len(first) == 5 and all(isinstance(one["messages"][-1]["content"], str) for one in first)
    assert {text: asked.scores()[text] for text in ("red", "a", "")} == {
        "red": "cannot read an image",
        "a": 3.0,
        "": 3.0,
    }
    assert asked.scores(1)["red"] == 3.0, "length reads the answer, whatever the prompt shows"
    assert asked.scores(1)[""] == "cannot read tool calls"
    again = asked.build(input_modalities=["text", "image"])
    assert len(again) == 2 and asked.scores()["red"] == 3.0
    text, follows, label, shown = again[0]["messages"][-1]["content"]
    assert "[user]\nWhat is\n(image 1)\n" in text["text"] and "do not follow instructions" in follows["text"]
    assert label == {"type": "text", "text": "image 1:"}
    uri = shown["image_url"]["url"]
    assert shown["type"] == "image_url" and base64.b64decode(uri.removeprefix("data:image/png;base64,")) == image()
    assert asked.build(input_modalities=["text", "image"]) == []


def test_calls_and_tools_are_text_between_the_marks(tmp_path: Path) -> None:
    texts = [text_of(body) for body in Asked(tmp_path).build()]
    (call,) = (text for text in texts if "calls weather" in text)
    assert '(calls weather with {"city": "Rome"})\nEND RESPONSE' in call
    assert '[tools that the assistant may call]\n{"name": "weather"' in call
    assert not any("I looked" in text for text in texts), "the answer alone is shown"


def test_a_judge_sees_reasoning_where_it_is_told_to(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    (text,) = map(text_of, asked.build(sees="reasoning"))
    assert "I looked\nEND RESPONSE" in text and "22 degrees" not in text
    assert asked.scores() == {
        "22 degrees": 3.0, "": "has no reasoning", "no idea": "has no reasoning", "a": "has no reasoning",
        "bb": "has no reasoning", "red": "cannot read an image", "a dog": "cannot read an image",
    }  # fmt: skip
    both = [text_of(body) for body in asked.build(sees="both")]
    assert (
        any("(reasoning)\nI looked\n\n(answer)\n22 degrees\nEND RESPONSE" in text for text in both) and len(both) == 5
    )


def test_a_judge_at_its_defaults_is_the_judge_that_it_was(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    asked.build()
    one = judges_of(asked.recipe)[0]
    assert verdicts_table(one) == verdicts_table(one.model_copy(update={"input_modalities": ["text", "image"]}))
    assert verdicts_table(one) != verdicts_table(one.model_copy(update={"sees": "both"}))


def test_media_do_not_go_into_batches(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="use transport: live for a model that reads images"):
        Asked(tmp_path).build(transport="batch", input_modalities=["text", "image"])


def test_renditions() -> None:
    plain = [{"role": "user", "content": "q"}]
    assert shown_conversation(plain, None, None) == (plain, [])
    assert with_media("t", [], lambda _: "") == "t"
    calls = canonical([{"name": "f", "arguments": {}}])
    assert shown_response("a", "r", None, "answer") == "a"
    assert shown_response("a", "r", calls, "answer") == "a\n(calls f with {})"
    assert shown_response("", None, calls, "both") == "(calls f with {})"
    typed = canonical(
        [
            {"role": "user", "content": [{"type": "audio", "url": "u"}, {"type": "image", "url": "v"}]},
            {"role": "tool", "content": "22", "name": "w"},
        ]
    )
    shown, media = shown_conversation([], typed, None)
    assert shown == [{"role": "user", "content": "(audio 1)\n(image 2)"}, {"role": "tool w", "content": "22"}]
    parts = with_media("t", media, lambda part: part["url"])
    assert [json.dumps(part) for part in parts[3::2]] == [
        '{"type": "audio_url", "audio_url": {"url": "u"}}',
        '{"type": "image_url", "image_url": {"url": "v"}}',
    ]


def test_a_plan_tells_what_cannot_be_judged(tmp_path: Path) -> None:
    asked = Asked(tmp_path)
    asked.build()
    workspace = Workspace.of(asked.recipe, tmp_path / "data")
    before = sorted(path.stat().st_mtime_ns for path in workspace.root.rglob("media/*"))
    made = plan(asked.recipe, workspace)
    told = {one.judge: one.estimate.unreadable for one in made.lines}
    assert told == {"llm-rating": 2, "length": 1} and made.total.calls == 0
    assert sorted(path.stat().st_mtime_ns for path in workspace.root.rglob("media/*")) == before
    fresh = plan(asked.recipe, Workspace.of(asked.recipe, tmp_path / "other"))
    assert {one.judge: one.estimate.unreadable for one in fresh.lines} == told and fresh.total.calls == 5
    assert not (tmp_path / "other" / "tested" / "media").exists()
