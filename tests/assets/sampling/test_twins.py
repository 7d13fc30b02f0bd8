"""Twins: each sample with thinking on and off; and what a response keeps of what was thought."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import recipe_of, table, write_jsonl
from reasoning_server import Reasoner
from replay_server import serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.sampling import sample
from pairwright.assets.sampling.pool import policies_of, samples_table, writers
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.plan import plan
from pairwright.pipelines.reasoning_cost import GUESS
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import response_id
from pairwright.schemas.recipe import Recipe

OFF = {"extra": {"chat_template_kwargs": {"enable_thinking": False}}}
ON = {"extra": {"chat_template_kwargs": {"enable_thinking": True}}}


def recipe(folder: Path, url: str, pool: int | None = None, **options: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", [{"prompt": f"question {i}"} for i in range(5)])
    policy = {"kind": "openai", "name": "w", "model": "m", "base_url": url, "samples": 2, **options}
    more = [policy | {"name": f"w{i}", "model": f"m{i}"} for i in range(2 if pool else 0)]
    parts = {"pool": {"size": pool}} if pool else {}
    return recipe_of(folder, "rows.jsonl", shards=1, policies=[policy, *more], judges=[{"kind": "length"}], **parts)


def responses(made: Recipe, data: Path) -> pl.DataFrame:
    workspace = Workspace.of(made, data)
    take_in(made, workspace)
    (shard,) = workspace.each_shard()
    for policy in policies_of(made):
        sample.sample_shard(made, policy, workspace, shard)
    sample.respond(made, workspace, shard)
    return table(workspace, "responses")


def test_each_sample_is_drawn_with_thinking_on_and_off_and_both_are_told_apart(tmp_path: Path) -> None:
    app = Reasoner(answer=lambda body: "the same answer", refused=())
    with serving(app) as url:
        made = recipe(tmp_path, url, extra={"top_k": 9}, twins={True: ON, False: OFF}, samples=1)
        assert [one.name for one in policies_of(made)] == ["w-on", "w-off"]
        planned = plan(made, Workspace.of(made, tmp_path / "data"))
        assert [line.estimate.calls for line in planned.lines[:2]] == [5, 5]
        rows = responses(made, tmp_path / "data")
        assert len(app.bodies) == 10 and all(body["top_k"] == 9 for body in app.bodies)
        assert len({body["seed"] for body in app.bodies}) == 5, "both from the same stream of draws"
        thinks = rows.with_columns(thinks=pl.col("reasoning").is_not_null()).select("policies", "thinks", "sampling")
        assert sorted(set(thinks.select(pl.col("policies").list.first(), "thinks").rows())) == [
            ("w-off", False),
            ("w-on", True),
        ]
        for told, thought in thinks.select("sampling", "thinks").iter_rows():
            assert json.loads(told)["extra"]["chat_template_kwargs"]["enable_thinking"] == thought
        responses(made, tmp_path / "data")
        assert len(app.bodies) == 10
    for row in rows.iter_rows(named=True):
        assert row["response_id"] == response_id(row["prompt_id"], "the same answer", row["reasoning"])


def test_a_pool_draws_both_twins_or_none(tmp_path: Path) -> None:
    made = recipe(tmp_path, "http://h/v1", pool=1, twins={"on": ON, "off": OFF})
    assert len(policies_of(made)) == 6
    for prompt in "abcdefgh":
        (base,) = writers(made, prompt)
        assert [one.name.rpartition("-")[2] for one in policies_of(made) if one.pooled_as == base] == ["on", "off"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"twins": {"on": {}, "off": {}}}, "twins.on and twins.off are the same"),
        ({"twins": {"on": {"temperatur": 1}, "off": {}}}, "twins.on: temperatur: Extra inputs"),
        ({"twins": {"on": {"samples": 3}, "off": {}}}, "twins.on.samples: both twins have the same"),
        ({"twins": {"on": {"extra": {"n": 3}}, "off": {}}}, "twins.on: extra: .*extra.n is set by the pipeline itself"),
        ({"twins": {"off": {}}}, "twins.on: missing"),
        ({"name": "w" * 62, "twins": {"on": ON, "off": OFF}}, "twins.on: name"),
    ],
)
def test_twins_that_cannot_be_are_told(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=told):
        recipe(tmp_path, "http://h/v1", **options)


def test_names_of_twins_are_taken(tmp_path: Path) -> None:
    twin = {"kind": "openai", "name": "w", "model": "m", "twins": {"on": ON, "off": OFF}}
    with pytest.raises(RecipeError, match="name 'w-on' is used twice"):
        recipe_of(tmp_path, "rows.jsonl", policies=[twin, {"kind": "openai", "name": "w-on", "model": "m"}])


@pytest.mark.parametrize(
    ("field", "marks"),
    [("reasoning_content", None), ("reasoning", None), ("tags", {}), ("tags", {"open": ""})],
    ids=["a field", "a field of another name", "marked", "opened by the template"],
)
def test_reasoning_that_comes_apart_is_kept_and_part_of_the_id(
    field: str, marks: dict[str, str] | None, tmp_path: Path
) -> None:
    app = Reasoner(answer=lambda body: "forty-two", refused=(), field=field)
    with serving(app) as url:
        made = recipe(tmp_path, url, samples=1, **({"thinking": marks} if marks is not None else {}))
        rows = responses(made, tmp_path / "data")
        (policy,) = policies_of(made)
    samples = table(Workspace.of(made, tmp_path / "data"), samples_table(policy))
    assert set(samples.get_column("text")) == set(rows.get_column("text")) == {"forty-two"}
    assert samples.get_column("reasoning").str.contains("Perhaps").all()
    assert not rows.get_column("reasoning").str.contains("</think>").any()
    for row in rows.iter_rows(named=True):
        assert row["response_id"] == response_id(row["prompt_id"], "forty-two", row["reasoning"])
        assert row["completion_tokens"] is None, "they were those of both"


def test_calls_of_tools_are_kept_beside_an_empty_text(tmp_path: Path) -> None:
    class Caller(Reasoner):
        def chat_of(self, body: dict[str, Any], texts: list[str], fault: str) -> dict[str, Any]:
            found = super().chat_of(body, texts, fault)
            call = {"name": "find", "arguments": '{"b": 1, "a": "é"}'}
            found["choices"][0]["message"] |= {"content": None, "tool_calls": [{"id": "c1", "function": call}]}
            return found

    with serving(Caller(refused=(), field=None)) as url:
        rows = responses(recipe(tmp_path, url, samples=1), tmp_path / "data")
    calls = '[{"arguments":{"a":"é","b":1},"id":"c1","name":"find"}]'
    assert rows.select("text", "tool_calls").unique().rows() == [("", calls)]
    assert rows.row(0, named=True)["response_id"] == response_id(rows["prompt_id"][0], "", None, calls)


def test_a_plan_guesses_at_the_thinking_until_it_was_seen(tmp_path: Path) -> None:
    app = Reasoner(tokens=300)
    write_jsonl(tmp_path / "rows.jsonl", [{"prompt": f"q {i}", "responses": ["a", "bb"]} for i in range(4)])
    with serving(app) as url:
        judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "orders": "one", "max_tokens": 5_000}
        for effort, guessed in ((None, 0), ("high", 4 * GUESS), ("none", 0)):
            told = judge | ({"reasoning_effort": effort} if effort else {})
            made = recipe_of(tmp_path, "rows.jsonl", judges=[told])
            workspace = Workspace.of(made, tmp_path / "data")
            estimate = plan(made, workspace).total
            assert (estimate.reasoning_tokens, estimate.completion_tokens) == (guessed, 4 * 200 + guessed)
        from helpers import build

        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge])
        build(made, tmp_path / "data")
        write_jsonl(tmp_path / "rows.jsonl", [{"prompt": f"q {i}", "responses": ["a", "bb"]} for i in range(6)])
        estimate = plan(made, workspace).total
        assert (estimate.calls, estimate.reasoning_tokens) == (2, 2 * 300)
        assert 2 * 300 < estimate.completion_tokens < 2 * 330
