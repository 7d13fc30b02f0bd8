"""What a release says that its judges and policies cost."""

from pathlib import Path

import pytest
from helpers import build, recipe_of, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.pool import policies_of
from pairwright.assets.sample import respond, sample_shard
from pairwright.assets.source import take_in
from pairwright.assets.store import Workspace


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


def test_free_judges_cost_nothing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}])
    assert build(recipe, tmp_path / "data").manifest["costs"] == {}
