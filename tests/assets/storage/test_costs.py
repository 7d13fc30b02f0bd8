"""What a release says that its judges and policies cost."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import build, recipe_of, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.verdicts import judges_of
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.sampling.sample import respond, sample_shard
from pairwright.assets.storage.reply_ledger import budget_of, costs
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.kinds import Kind
from pairwright.schemas.recipe import Recipe


def test_the_manifest_says_what_each_judge_and_policy_cost(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    with serving(App(Settings())) as url:
        paid = {"model": "m", "base_url": url, "price": {"input": 100, "output": 200}}
        recipe = recipe_of(
            tmp_path,
            "rows.jsonl",
            policies=[{"name": "writer", "kind": "openai", "samples": 2, **paid}],
            judges=[{"name": "duel", "kind": "llm-pairwise", **paid}, {"name": "length", "kind": "length"}],
        )
        workspace = Workspace.of(recipe, tmp_path / "data")
        take_in(recipe, workspace)
        for shard in workspace.each_shard():
            sample_shard(recipe, policies_of(recipe)[0], workspace, shard)
            respond(recipe, workspace, shard)
        made = build(recipe, tmp_path / "data")
    costs = made.manifest["costs"]
    assert list(costs) == ["writer", "duel"], "what is free is not listed"
    for one in costs.values():
        assert one["calls"] > 0 and one["completion_tokens"] > 0
        usd = (one["prompt_tokens"] * 100 + one["completion_tokens"] * 200) / 1e6
        assert one["cost_usd"] == pytest.approx(usd, abs=1e-6)


def test_what_is_taken_over_is_not_spent_again(tmp_path: Path) -> None:
    """From another layout, or another data set: it stands in the books once, and no budget loses by it."""
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    with serving(App(Settings())) as url:
        judge = {
            "name": "duel",
            "kind": "llm-pairwise",
            "model": "m",
            "base_url": url,
            "price": {"input": 1, "output": 1},
        }
        parts: dict[str, Any] = {"judges": [judge], "budget": {"calls": 1000}}
        recipe = recipe_of(tmp_path, "rows.jsonl", shards=1, **parts)
        first = build(recipe, tmp_path / "data")
        paid = first.manifest["costs"]["duel"]
        for folder in (tmp_path / "data" / "tested" / "verdicts").iterdir():
            shutil.rmtree(folder)  # so that the replies themselves are taken over
        resharded = recipe_of(tmp_path, "rows.jsonl", shards=3, **parts)
        assert build(resharded, tmp_path / "data").manifest["costs"]["duel"] == paid
        assert costs(policies_and_judges(resharded), Workspace.of(resharded, tmp_path / "data"))["duel"] == paid
        shutil.rmtree(tmp_path / "data" / "tested" / "verdicts")
        other = recipe_of(tmp_path, "rows.jsonl", shards=1, dataset="other", **parts)
        assert build(other, tmp_path / "data").manifest["costs"].get("duel", {"calls": 0})["calls"] == 0
        assert budget_of(other, Workspace.of(other, tmp_path / "data")).spent.calls == 0
        assert budget_of(resharded, Workspace.of(resharded, tmp_path / "data")).spent.calls == paid["calls"]


def policies_and_judges(recipe: Recipe) -> list[Kind]:
    return [*policies_of(recipe), *judges_of(recipe)]


def test_free_judges_cost_nothing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}])
    assert build(recipe, tmp_path / "data").manifest["costs"] == {}
