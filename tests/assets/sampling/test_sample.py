"""Sampling: what is missing is drawn, once; what a server leaves out or mangles is neither lost nor made up."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import recipe_of, table, write_jsonl
from replay_server import HELLO, App, Settings, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.sampling import sample
from pairwright.assets.sampling.policies.served import read
from pairwright.assets.sampling.pool import policies_of, samples_table, writers
from pairwright.assets.storage.store import Workspace
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.probe import probe
from pairwright.pipelines.plan import plan
from pairwright.schemas.ids import digest
from pairwright.schemas.recipe import Recipe


def recipe(folder: Path, *policies: dict[str, Any], prompts: int = 10, **parts: Any) -> Recipe:
    rows = [{"prompt": f"question {i}", "responses": ["a given answer"]} for i in range(prompts)]
    write_jsonl(folder / "rows.jsonl", rows)
    return recipe_of(folder, "rows.jsonl", policies=list(policies), judges=[{"kind": "length"}], **parts)


def drawn(recipe: Recipe, data: Path) -> pl.DataFrame:
    workspace = Workspace.of(recipe, data)
    take_in(recipe, workspace)
    for shard in workspace.each_shard():
        for policy in policies_of(recipe):
            sample.sample_shard(recipe, policy, workspace, shard)
        sample.respond(recipe, workspace, shard)
    return table(workspace, "responses")


@pytest.mark.parametrize("lies", [set(), {"n"}])
def test_n_in_one_call_and_one_by_one_where_it_is_ignored(lies: set[str], tmp_path: Path) -> None:
    app = App(Settings())
    app.lies = lies
    with serving(app) as url:
        made = recipe(tmp_path, {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 3})
        responses = drawn(made, tmp_path / "data")
        sampled = responses.filter(pl.col("policies").list.contains("small"))
        assert sampled.get_column("sample_count").sum() == 30
        assert sampled.get_column("finish_reason").to_list() == ["stop"] * sampled.height
        assert len(app.sent) == (30 if lies else 10)
        assert not lies or not any("n" in body for body in app.bodies), "what is ignored is not asked for"
        count = len(app.sent)
        drawn(made, tmp_path / "data")
        assert len(app.sent) == count
        more = recipe(tmp_path, {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 5})
        drawn(more, tmp_path / "data")
        assert drawn(more, tmp_path / "data").height > responses.height, "only the further samples are drawn"


def test_identical_texts_are_merged_with_their_count(tmp_path: Path) -> None:
    app = App(Settings(), answer=lambda body: "a given answer")
    with serving(app) as url:
        policy = {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 1}
        responses = drawn(recipe(tmp_path, policy, {**policy, "name": "other", "model": "o"}), tmp_path / "data")
    assert responses.height == 10
    assert responses.get_column("sample_count").unique().to_list() == [3]
    assert responses.get_column("policies").to_list()[0] == ["other", "small", "unknown"]


def test_truncated_samples_are_marked_and_refused_ones_too(tmp_path: Path) -> None:
    for fault, reason in (("length", "length"), ("refusal", "refusal")):
        folder = tmp_path / fault
        folder.mkdir()
        with serving(App(Settings(fault_rate=1.0, faults=(fault,)), answer=lambda body: "some words here")) as url:
            policy = {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 1}
            sampled = drawn(recipe(folder, policy), folder / "data").filter(pl.col("policies").list.contains("small"))
            assert sampled.get_column("finish_reason").unique().to_list() == [reason]


def test_a_failed_sample_is_a_row_and_is_drawn_by_the_next_build(tmp_path: Path) -> None:
    app = App(Settings(fault_rate=1.0, faults=("empty", "garbage"), seed=2))
    with serving(app) as url:
        made = recipe(tmp_path, {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 2})
        assert drawn(made, tmp_path / "data").height == 10
        (policy,) = policies_of(made)
        rows = table(Workspace.of(made, tmp_path / "data"), samples_table(policy))
        assert rows.get_column("failure").null_count() == 0
        assert rows.height == 20
        app.settings = Settings()
        assert drawn(made, tmp_path / "data").get_column("sample_count").sum() == 30


class Gaps(App):
    """Calls for several texts bring some that are empty, or fewer; calls for one bring `single`."""

    def __init__(self, texts: list[str], single: str = "drawn alone") -> None:
        super().__init__(Settings())
        self.texts, self.single = texts, single

    def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
        if HELLO in str(body["messages"]):
            return super().body_of(body, fault)
        return self.chat_of(body, self.texts[: body["n"]] if "n" in body else [self.single], fault)


@pytest.mark.parametrize(
    ("texts", "gaps", "single"),
    [
        (["a", "b", "", "d"], [2], "drawn alone"),
        (["a", "b", "<think>on", "  "], [2, 3], ""),
        (["a", "b", "c"], [3], ""),
        (["a"], [1, 2, 3], "drawn alone"),
    ],
    ids=["one is empty", "two have no answer, alone neither", "one is lacking, and empty alone", "n is ignored"],
)
def test_what_a_call_lacks_is_drawn_alone_and_its_siblings_stay(
    texts: list[str], gaps: list[int], single: str, tmp_path: Path
) -> None:
    app = Gaps(texts, single)
    with serving(app) as url:
        made = recipe(tmp_path, {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 4})
        drawn(made, tmp_path / "data")
        rows = table(Workspace.of(made, tmp_path / "data"), samples_table(policies_of(made)[0]))
        tries = 1 if single else 3
        assert Counter(body.get("n") for body in app.bodies) == {4: 10, None: 10 * len(gaps) * tries}
        failed = rows.filter(pl.col("failure").is_not_null())
        assert sorted(set(failed.get_column("number"))) == ([] if single else gaps)
        texts = [single if place in gaps else texts[place] for place in range(4)]
        assert sorted(rows.get_column("text").drop_nulls()) == sorted([text for text in texts if text] * 10)
        count, app.texts, app.single = len(app.bodies), ["later"] * 4, "later"
        drawn(made, tmp_path / "data")
        again = app.bodies[count:]
        assert sum(body.get("n", 1) for body in again) == failed.height, "the next build asks for what failed alone"
        assert len(again) == (10 if failed.height else 0)


def test_a_call_that_brings_nothing_is_a_failure_of_each_sample(tmp_path: Path) -> None:
    app = Gaps(["", "", "", ""], "")
    with serving(app) as url:
        made = recipe(tmp_path, {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 4})
        drawn(made, tmp_path / "data")
        rows = table(Workspace.of(made, tmp_path / "data"), samples_table(policies_of(made)[0]))
    assert rows.get_column("failure").to_list() == ["a sample is empty"] * 40
    assert len(app.bodies) == 30


class Completions(App):
    """Tells log-probs of text completions in their own shape, and refuses that of chats there."""

    def logprobs(self, body: dict[str, Any], text: str) -> dict[str, Any] | None:
        found = super().logprobs(body, text)
        if found is None or "messages" in body:
            return found
        if body["logprobs"] is True:
            return None
        tokens = [one["token"] for one in found["content"]]
        tops = [{token: -0.25, "?": -2.0} for token in tokens]
        return {"tokens": tokens, "token_logprobs": [-0.25] * len(tokens), "top_logprobs": tops, "text_offset": []}


def test_a_probe_asks_completions_for_log_probs_in_their_own_shape() -> None:
    with serving(Completions(Settings())) as url:
        for path in ("/completions", "/chat/completions"):
            found = probe(Endpoint(model="m", base_url=url), {"logprobs"}, path)
            states = {one.feature: one.state for one in found}
            assert states["logprobs"] == ("yes" if path == "/completions" else "no"), (
                "a chat's come without others here"
            )


def test_log_probs_of_completions_are_summed_as_those_of_chats(tmp_path: Path) -> None:
    with serving(Completions(Settings())) as url:
        base = {"name": "base", "model": "b", "kind": "openai-completions", "base_url": url, "samples": 2}
        made = recipe(tmp_path, base | {"logprobs": True})
        drawn(made, tmp_path / "data")
        rows = table(Workspace.of(made, tmp_path / "data"), samples_table(policies_of(made)[0]))
    for text, logprob, count in rows.select("text", "logprob", "completion_tokens").iter_rows():
        words = len(re.findall(r"\w+|\W", text))
        assert (logprob, count) == (pytest.approx(-0.25 * words), words)


@pytest.mark.parametrize(
    "logprobs",
    [
        {"tokens": ["a"], "token_logprobs": [-1, -2]},
        {"tokens": ["a", "b"], "token_logprobs": [None, -1]},
        {"tokens": "ab", "token_logprobs": 3},
        {"tokens": ["a"], "token_logprobs": ["x"], "top_logprobs": [7]},
        {"tokens": [], "token_logprobs": []},
        [],
        None,
    ],
)
def test_log_probs_that_make_no_sense_are_none(logprobs: Any) -> None:
    reply = json.dumps({"choices": [{"index": 0, "text": "ab", "finish_reason": "stop", "logprobs": logprobs}]})
    assert [one.logprob for one in read(reply, 1) if one is not None] == [None]


def test_completions_system_prompts_and_logprobs(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        base = {"name": "base", "model": "b", "kind": "openai-completions", "base_url": url, "samples": 2}
        chat = {"name": "chat", "model": "m", "kind": "openai", "base_url": url, "samples": 4}
        made = recipe(tmp_path, base, {**chat, "system": ["Be brief.", "Be long."], "logprobs": True})
        responses = drawn(made, tmp_path / "data")
    assert responses.filter(pl.col("policies").list.contains("chat")).get_column("logprob").null_count() == 0
    assert responses.filter(pl.col("policies").list.contains("base")).get_column("sample_count").sum() == 20
    assert len(app.sent) == 10 * 1 + 10 * 2


def test_a_pool_is_as_balanced_as_a_draw_by_content_can_be(tmp_path: Path) -> None:
    policies = [{"name": f"p{i}", "model": f"m{i}", "kind": "openai", "samples": 1} for i in range(4)]
    prompts, seeds = 1_000, 30
    ids = [digest("prompt", str(i)) for i in range(prompts)]
    squares, together = 0.0, Counter[frozenset[str]]()
    for seed in range(seeds):
        made = recipe(tmp_path, *policies, pool={"size": 2, "seed": seed})
        drawn_sets = [frozenset(writers(made, one)) for one in ids]
        assert {len(mine) for mine in drawn_sets} == {2}
        counts = Counter(one for mine in drawn_sets for one in mine)
        squares += sum((count - prompts / 2) ** 2 for count in counts.values())
        together.update(drawn_sets)
    deviation = (squares / (seeds * 4)) ** 0.5
    assert deviation == pytest.approx((prompts * 0.5 * 0.5) ** 0.5, rel=0.25), "1.6 % of the prompts, as documented"
    assert len(together) == 6, "every pair of policies meets"
    assert all(abs(count / (seeds * prompts) - 1 / 6) < 0.01 for count in together.values())


def test_growth_and_further_policies_move_no_draw_that_was_made(tmp_path: Path) -> None:
    policies = [{"name": f"p{i}", "model": f"m{i}", "kind": "openai", "samples": 1} for i in range(4)]
    few = recipe(tmp_path, *policies[:3], pool={"size": 1})
    more = recipe(tmp_path, *policies, pool={"size": 1}, prompts=20, shards=5)
    new = {one.fingerprint for one in policies_of(more)} - {one.fingerprint for one in policies_of(few)}
    moved = 0
    for i in range(400):
        before, after = writers(few, digest("prompt", str(i))), writers(more, digest("prompt", str(i)))
        assert after in (before, new), "a prompt stays where it was, or goes to the policy that came"
        moved += after == new
    assert 70 < moved < 130


def pooled(folder: Path, url: str, *models: str, size: int = 2) -> Recipe:
    policies = [{"name": one, "model": one, "kind": "openai", "base_url": url, "samples": 1} for one in models]
    return recipe(folder, *policies, pool={"size": size}, prompts=12)


@pytest.mark.parametrize("after", [("a", "b"), ("a", "b", "d"), ("a", "b", "c", "d")], ids=["dropped", "edited", "new"])
def test_another_member_of_the_pool_calls_for_the_samples_that_it_moves(after: tuple[str, ...], tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        drawn(pooled(tmp_path, url, "a", "b", "c"), tmp_path / "data")
        made = pooled(tmp_path, url, *after)
        workspace = Workspace.of(made, tmp_path / "data")
        planned, count = plan(made, workspace).total.calls, len(app.sent)
        responses = drawn(made, tmp_path / "data")
        assert len(app.sent) - count == planned > 0, "a build draws what the plan says"
        assert plan(made, workspace).total.calls == 0
    assert responses.equals(from_scratch(tmp_path, *after))


def from_scratch(folder: Path, *models: str) -> pl.DataFrame:
    with serving(App(Settings())) as url:
        return drawn(pooled(folder, url, *models), folder / "anew")


def test_a_prompt_that_left_leaves_no_response_behind(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        policy = {"name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 2}
        for count in (10, 6, 10):
            write_jsonl(tmp_path / "rows.jsonl", [{"prompt": f"question {i}"} for i in range(count)])
            made = recipe_of(tmp_path, "rows.jsonl", policies=[policy], judges=[{"kind": "length"}])
            responses = drawn(made, tmp_path / "data")
            prompts = table(Workspace.of(made, tmp_path / "data"), "prompts")
            assert set(responses.get_column("prompt_id")) == set(prompts.get_column("prompt_id"))
            assert responses.get_column("sample_count").sum() == 2 * count
        assert len(app.sent) == 10, "what was drawn before is there when its prompt comes back"


def test_a_plan_looks_at_the_samples_that_are_wanted_alone(tmp_path: Path) -> None:
    with serving(App(Settings())) as url:
        policy = {"name": "small", "model": "m", "kind": "openai", "base_url": url}
        drawn(recipe(tmp_path, policy | {"samples": 5}), tmp_path / "data")
        made = recipe(tmp_path, policy | {"samples": 2}, prompts=11)
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        expected = [sample.expected_responses(made, workspace, shard) for shard in workspace.each_shard()]
    assert pl.concat(expected).group_by("prompt_id").len().get_column("len").to_list() == [3] * 11


def test_the_plan_counts_samples_and_the_judging_of_them(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        policy = {
            "name": "small", "model": "m", "kind": "openai", "base_url": url, "samples": 2, "max_tokens": 100,
            "price": {"input": 1, "output": 10}, "rpm": 60,
        }  # fmt: skip
        made = recipe(tmp_path, policy)
        judge = {"kind": "llm-pairwise", "model": "j", "base_url": url}
        made = recipe_of(tmp_path, "rows.jsonl", policies=[policy], judges=[judge])
        workspace = Workspace.of(made, tmp_path / "data")
        sampling, judging = (line.estimate for line in plan(made, workspace).lines)
        assert (sampling.calls, sampling.completion_tokens) == (10, 2000)
        assert sampling.cost_usd == pytest.approx((sampling.prompt_tokens + 10 * 2000) / 1e6)
        assert sampling.seconds == pytest.approx(10)
        assert judging.calls == 10 * 3 * 2
        assert not app.sent
        drawn(made, tmp_path / "data")
        sampling, judging = (line.estimate for line in plan(made, workspace).lines)
        assert (sampling.calls, judging.calls) == (0, 60)
