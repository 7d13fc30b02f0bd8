"""Judging through a server that fails in every way it can: all verdicts that can be had are had, nothing is guessed."""

import asyncio
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import build, recipe_of, wide, write_jsonl
from replay_server import FAULTS, FINE, LOST, App, Settings, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.pairing.prefer import judges_of
from pairwright.assets.storage.reply_ledger import budget_of, replies_table, spending
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import BudgetError, JudgeError
from pairwright.schemas.recipe import Recipe


def recipe(folder: Path, url: str, prompts: int = 6, **parts: Any) -> Recipe:
    """Judged by all three kinds, over the same server."""
    write_jsonl(folder / "rows.jsonl", wide(prompts))
    common = {"model": "m", "base_url": url, "concurrency": 16, "deadline": 0.5, "max_failure_share": 1}
    judges = [
        {"kind": "llm-pairwise", **common},
        {"kind": "llm-rating", "aspects": ["helpfulness", "honesty"], **common},
        {"kind": "llm-listwise", **common},
    ]
    return recipe_of(folder, "rows.jsonl", **{"judges": judges, **parts})


def verdicts(recipe: Recipe, data: Path) -> dict[str, pl.DataFrame]:
    """Every judge's rows, without what a fault may change: cost."""
    found = {}
    for judge in judges_of(recipe):
        kind = judge.content()["kind"]
        paths = sorted(data.glob(f"tested/verdicts/{kind}-*/*.parquet"))
        found[kind] = (
            pl.concat([pl.read_parquet(path) for path in paths]).drop("cost_usd").sort(*judge.keys, "criterion")
        )
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    folder = tmp_path_factory.mktemp("undisturbed")
    with serving(App(Settings())) as url:
        made = recipe(folder, url)
        build(made, folder / "data")
        return verdicts(made, folder / "data")


def test_a_build_without_faults_leaves_no_failure(undisturbed: dict[str, pl.DataFrame]) -> None:
    assert {kind: rows.height for kind, rows in undisturbed.items()} == {
        "llm-pairwise": 6 * 6,
        "llm-rating": 6 * 4 * 2,
        "llm-listwise": 6 * 4,
    }
    assert all(rows.get_column("failure").null_count() == rows.height for rows in undisturbed.values())


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_got_over(
    fault: str, tmp_path: Path, undisturbed: dict[str, pl.DataFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairwright.models.serving.live_call.backoff", lambda tries: 0.01 * 2**tries)
    settings = Settings(fault_rate=0.2, faults=(fault,), stall=0.6, seed=5)
    app = App(settings)
    with serving(app) as url:
        made = recipe(tmp_path, url)
        started = time.monotonic()
        build(made, tmp_path / "data")
        first = verdicts(made, tmp_path / "data")
        asked = len(app.sent)
        build(made, tmp_path / "data")
        assert time.monotonic() - started < 60
    for kind, rows in first.items():
        failed = rows.filter(pl.col("failure").is_not_null())
        assert failed.height <= rows.height * 0.1, fault
        assert failed.get_column("raw").null_count() == (failed.height if fault in LOST else 0)
        keys = [name for name in ("prompt_id", "response_id", "response_a", "response_b") if name in rows.columns]
        good = rows.filter(pl.col("failure").is_null())
        assert good.equals(undisturbed[kind].join(good, on=[*keys, "criterion"], how="semi", maintain_order="left"))
    again = len(app.sent) - asked
    failures = sum(rows.get_column("failure").count() for rows in first.values())
    assert again <= failures * 3 * 4
    assert (again > 0) == (failures > 0 and fault not in LOST) or fault in LOST
    assert {sent for _, sent in app.sent} <= {fault, "ok"} | FINE


def test_what_failed_is_asked_again_and_nothing_else(tmp_path: Path, undisturbed: dict[str, pl.DataFrame]) -> None:
    app = App(Settings(fault_rate=0.6, faults=("wrong-schema", "torn-json", "empty"), seed=1))
    with serving(app) as url:
        made = recipe(tmp_path, url)
        build(made, tmp_path / "data")
        failed = sum(rows.get_column("failure").count() for rows in verdicts(made, tmp_path / "data").values())
        assert failed > 5
        app.settings = Settings()
        before = {key for key, fault in app.sent if fault in FINE | {"ok"}}
        count = len(app.sent)
        build(made, tmp_path / "data")
        assert not before & {key for key, _ in app.sent[count:]}, "a good reply was paid for twice"
        count = len(app.sent)
        build(made, tmp_path / "data")
        assert len(app.sent) == count
        for kind, rows in verdicts(made, tmp_path / "data").items():
            assert rows.equals(undisturbed[kind])


def test_a_dead_server_is_named_within_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairwright.models.serving.patience.DOWN_AFTER", 2.0)
    monkeypatch.setenv("DEAD_KEY", "sk-very-secret")
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    judge = {"kind": "llm-pairwise", "model": "m", "base_url": "http://127.0.0.1:9/v1", "api_key_env": "DEAD_KEY"}
    made = recipe_of(tmp_path, "rows.jsonl", judges=[judge])
    started = time.monotonic()
    with pytest.raises(JudgeError, match=r"127\.0\.0\.1:9/v1") as caught:
        build(made, tmp_path / "data")
    assert time.monotonic() - started < 30
    assert "very-secret" not in str(caught.value)


def test_a_hung_server_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairwright.models.serving.patience.DOWN_AFTER", 1.0)

    class Hung(App):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            await asyncio.sleep(60)

    with serving(Hung(Settings())) as url:
        write_jsonl(tmp_path / "rows.jsonl", wide(2))
        judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "deadline": 0.3}
        with pytest.raises(JudgeError, match="gave no answer"):
            build(recipe_of(tmp_path, "rows.jsonl", judges=[judge]), tmp_path / "data")


@pytest.mark.parametrize(("cap", "value"), [("calls", 20), ("tokens", 40_000), ("usd", 0.02)])
def test_a_budget_stops_cleanly_and_a_higher_one_goes_on(cap: str, value: float, tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        write_jsonl(tmp_path / "rows.jsonl", wide(12))
        judge = {
            "kind": "llm-pairwise", "model": "m", "base_url": url, "concurrency": 4,
            "price": {"input": 1.0, "output": 2.0}, "max_tokens": 500,
        }  # fmt: skip
        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge], budget={cap: value}, shards=1)
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        (shard,) = workspace.each_shard()
        (one,) = judges_of(made)
        with pytest.raises(BudgetError, match=f"budget.{cap}"):
            judge_shard(one, workspace, shard, budget_of(made, workspace))
        spent = spending([replies_table(one)], workspace).row(0, named=True)
        tokens = spent["prompt_tokens"] + spent["completion_tokens"]
        assert 0 < {"calls": spent["calls"], "tokens": tokens, "usd": spent["cost_usd"]}[cap] <= value
        assert spent["calls"] == len(app.sent)
        with pytest.raises(BudgetError):
            judge_shard(one, workspace, shard, budget_of(made, workspace))
        assert len(app.sent) == spent["calls"], "a spent budget pays for no further call"
        judge_shard(one, workspace, shard)
        assert len(app.sent) == 12 * 6 * 2, "what was paid for under the budget was not paid for again"
