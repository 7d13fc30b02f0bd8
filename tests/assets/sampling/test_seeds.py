"""Seeds on a server that honours them, as vLLM does: a text depends on the seed alone, whatever the prompt."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import judge_all, recipe_of, table, wide, write_jsonl
from replay_server import HELLO, SHOWN, App, Settings, number, serving

from pairwright.assets.auditing.relabel import audit
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.retest import opinions
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.sampling.policies.openai import Chat, Completion
from pairwright.assets.sampling.pool import policies_of, samples_table
from pairwright.assets.sampling.sample import sample_shard
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.ids import SEEDS, seed_of

PROMPTS, SAMPLES = 12, 3


class Streams(App):
    """One stream of draws a seed, shared by all prompts; the i-th text of a call goes by seed + i."""

    def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
        if HELLO in str(body.get("messages") or body.get("prompt")):
            return super().body_of(body, fault)
        many = 1 if "n" in self.lies else body.get("n") or 1
        texts = [f"draw {number(str(body['seed'] + place))}" for place in range(many)]
        return self.chat_of(body, texts, fault)


@pytest.mark.parametrize(
    ("kind", "lies", "transport"),
    [
        ("openai", set(), "live"),
        ("openai", {"n"}, "live"),
        ("openai-completions", set(), "live"),
        ("openai", set(), "batch"),
    ],
)
def test_every_prompt_and_sample_has_draws_of_its_own(
    kind: str, lies: set[str], transport: str, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(PROMPTS))
    app = Streams(Settings())
    app.lies = lies
    policy = {"name": "w", "kind": kind, "model": "m", "samples": SAMPLES, "transport": transport, "poll": 0.05}
    with serving(app) as url:
        made = recipe_of(
            tmp_path, "rows.jsonl", shards=1, policies=[policy | {"base_url": url}], judges=[{"kind": "length"}]
        )
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        (shard,) = workspace.each_shard()
        sample_shard(made, policies_of(made)[0], workspace, shard)
        rows = table(workspace, samples_table(policies_of(made)[0]))
    assert rows.get_column("text").n_unique() == PROMPTS * SAMPLES
    assert all(0 <= body["seed"] < SEEDS for body in app.bodies)


def test_a_seed_is_the_same_on_every_machine_and_leaves_room_to_count_on() -> None:
    assert seed_of("sample", "0", "a" * 24, "0") == 1_009_447_738
    found = [seed_of("sample", "0", str(i), "0") for i in range(2_000)]
    assert len(set(found)) == 2_000
    assert min(found) >= 0 and max(found) + 1_024 + 100 < 2**31
    spread = pl.Series(found).mean()
    assert spread == pytest.approx(SEEDS / 2, rel=0.05)


@pytest.mark.parametrize(("kind", "known"), [(Chat, "60bd0620f366364b"), (Completion, "22a8a974cf31e1d0")])
def test_what_was_drawn_under_the_old_seeds_keeps_its_names(kind: Any, known: str) -> None:
    policy = kind.model_validate({"model": "m", "samples": 4, "seed": 3, "temperature": 1.0, "logprobs": True})
    assert policy.fingerprint == known
    calls = [policy.call("a" * 24, [{"role": "user", "content": "hi"}], some) for some in ([0, 1, 2, 3], [2])]
    assert [call.key for call in calls] == ["fce7aae00557027faadcb8d4", "06ec539639962c98f1d20f52"]
    assert calls[0].body["seed"] != calls[1].body["seed"]


def wavering(body: dict[str, Any]) -> str:
    """A verdict that depends on the call's seed alone, as of a judge that cannot decide."""
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    drawn = number(str(body["seed"]))
    labels = [label for label, _, _ in SHOWN.findall(body["messages"][-1]["content"])]
    if "ranking" in wanted:
        return json.dumps({"rationale": "r", "ranking": sorted(labels, key=lambda one: number(f"{drawn} {one}"))})
    if "ratings" in wanted:
        rated = [{"response": one, "rationale": "r", "rating": 1 + 4 * number(f"{drawn} {one}")} for one in labels]
        return json.dumps({"ratings": rated})
    if "rating" in wanted:
        return json.dumps({"rationale": "r", "rating": 1 + 4 * drawn})
    return json.dumps({"rationale": "r", "verdict": "A" if drawn < 0.5 else "B"})


@pytest.mark.parametrize(
    "judge",
    [
        {"kind": "llm-pairwise"},
        {"kind": "llm-rating", "aspects": ["helpfulness"], "votes": 2},
        {"kind": "llm-rating", "aspects": ["helpfulness"], "per_call": "all"},
        {"kind": "llm-listwise", "orders": 1},
    ],
)
def test_a_second_opinion_has_draws_of_its_own_and_the_first_keeps_its_seeds(
    judge: dict[str, Any], tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(PROMPTS))
    app = App(Settings(), wavering)
    with serving(app) as url:
        options = {"model": "m", "base_url": url, "temperature": 1.0, "seed": 5}
        judge_all(recipe_of(tmp_path, "rows.jsonl", judges=[judge | options]), tmp_path / "data")
        first = [body["seed"] for body in app.bodies]
        assert set(first) == ({5, 1005} if "votes" in judge else {5}), "what was paid for stays valid"
        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge | options | {"audit_fraction": 1.0}])
        workspace = judge_all(made, tmp_path / "data")
        second = [body["seed"] for body in app.bodies[len(first) :]]
    assert len(second) == len(first) == len(set(second)), "every call of a later round has a seed of its own"
    one = judges_of(made)[0]
    rows = table(workspace, verdicts_table(one))
    changes = opinions(one, rows.lazy()).collect()
    differ = (changes.get_column("new") - changes.get_column("old")).abs() > 1e-9
    assert changes.height == rows.height // 2
    assert differ.mean() > 0.2


def test_every_night_has_draws_of_its_own(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(PROMPTS))
    app = App(Settings(), wavering)
    with serving(app) as url:
        judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "temperature": 1.0}
        schedule = {"relabel": "0 2 * * *", "audit_fraction": 1.0}
        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge], schedule=schedule)
        workspace = judge_all(made, tmp_path / "data")
        asked = len(app.bodies)
        for day in (1, 2):
            (drift,) = audit(made, workspace, datetime(2026, 3, day, 2, tzinfo=UTC))
            assert drift.mean_change is not None and drift.mean_change > 0.1
    nights = [body["seed"] for body in app.bodies[asked:]]
    assert len(nights) == 2 * asked == len(set(nights))
