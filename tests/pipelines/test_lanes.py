"""Stages that ask different servers are at it at the same time, within one run and one budget."""

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from helpers import recipe_of, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.flow import flow
from pairwright.assets.stages.run import Made
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.coordinator import Coordinator
from pairwright.schemas.errors import BudgetError, JudgeError
from pairwright.schemas.recipe import Recipe

PROMPTS = 6


def two_judges(folder: Path, urls: Sequence[str], **parts: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(PROMPTS, responses=2))
    judges = [
        {"name": f"duel{i}", "kind": "llm-pairwise", "model": f"m{i}", "base_url": url, "concurrency": 1}
        for i, url in enumerate(urls)
    ]
    return recipe_of(folder, "rows.jsonl", judges=judges, **parts)


def judged(one: Recipe, data: Path) -> tuple[dict[str, Made], list[float]]:
    """What came of each judge, and the seconds until the first, and after it until the second, was reported."""
    workspace = Workspace.of(one, data)
    stages = {stage.name: stage for stage in flow(one)}
    names, shards = [f"verdicts/{judge.name}" for judge in one.judges], list(workspace.each_shard())
    with Coordinator(one, workspace, 1) as run:
        run.begin(list(stages), shards)
        run.bring_up([stages["prompts"]], shards)
        run.bring_up([stages["responses"]], shards)
        made, times = {}, [time.monotonic()]
        for name in names:
            made[name] = run.bring_up([stages[name]], shards)
            times.append(time.monotonic())
    return made, [after - before for before, after in itertools.pairwise(times)]


def test_judges_on_two_endpoints_are_at_it_at_once(tmp_path: Path) -> None:
    slow = Settings(latency=0.1, sigma=0.0)
    with serving(App(slow)) as first, serving(App(slow)) as second:
        made, (one, other) = judged(two_judges(tmp_path, [first, second]), tmp_path / "two")
        assert [each.calls for each in made.values()] == [PROMPTS * 2] * 2, "each counts its own calls"
        assert other < one / 2, "the second was done when its turn came"
        _, (one, other) = judged(two_judges(tmp_path, [first, first]), tmp_path / "same")
        assert other > one / 2, "on one endpoint they go one after the other, within its limits"


def test_one_budget_for_all_that_are_at_it(tmp_path: Path) -> None:
    apps = App(Settings()), App(Settings())
    with serving(apps[0]) as first, serving(apps[1]) as second:
        one = two_judges(tmp_path, [first, second], budget={"calls": 13})
        with pytest.raises(BudgetError, match=r"budget\.calls is 13"):
            judged(one, tmp_path / "data")
        spent = budget_of(one, Workspace.of(one, tmp_path / "data")).spent.calls
        sent = sum(len(app.sent) for app in apps)
        assert spent <= sent <= 13
        richer = two_judges(tmp_path, [first, second], budget={"calls": PROMPTS * 4})
        made, _ = judged(richer, tmp_path / "data")
    assert sum(one.calls for one in made.values()) == PROMPTS * 4 - spent, "nothing was asked twice"


def test_an_error_is_that_of_its_own_asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairwright.models.serving.patience.DOWN_AFTER", 1.0)
    with serving(App(Settings())) as first:
        one = two_judges(tmp_path, [first, "http://127.0.0.1:9/v1"])
        stages = {stage.name: stage for stage in flow(one)}
        workspace = Workspace.of(one, tmp_path / "data")
        shards = list(workspace.each_shard())
        with Coordinator(one, workspace, 1) as run:
            run.begin(list(stages), shards)
            for name in ("prompts", "responses", "verdicts/duel0"):
                run.bring_up([stages[name]], shards)
            with pytest.raises(JudgeError):
                run.bring_up([stages["verdicts/duel1"]], shards)
