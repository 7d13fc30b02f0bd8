"""Judging and sampling through the Batch API: same rows, nothing paid twice, only what is missing sent again."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from helpers import TESTS, build, recipe_of, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.paid_stages import verdicts_stage
from pairwright.assets.pairing.prefer import judges_of
from pairwright.assets.sampling.pool import policies_of, samples_table
from pairwright.assets.sampling.sample import sample_shard
from pairwright.assets.stages.batch_runner import InBatches
from pairwright.assets.stages.run import Made, Run
from pairwright.assets.storage.reply_ledger import budget_of, costs, replies_table
from pairwright.assets.storage.store import Workspace
from pairwright.cli import main
from pairwright.judges.llm_pairwise import LlmPairwise
from pairwright.models.serving.batch_files import Journal
from pairwright.models.serving.batch_server import line_of
from pairwright.models.serving.call import TRIES
from pairwright.models.serving.reply_store import Budget, Spent, StoppedError
from pairwright.pipelines.plan import plan
from pairwright.schemas.errors import BudgetError, JudgeError, StoreError
from pairwright.schemas.ids import prompt_id
from pairwright.schemas.reading import load_recipe
from pairwright.schemas.recipe import Recipe

DRIVER = TESTS / "e2e" / "resume.py"
PROMPTS = 5


def recipe(folder: Path, url: str, transport: str = "batch", **parts: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(PROMPTS))
    judge = {"name": "duel", "kind": "llm-pairwise", "model": "m", "base_url": url, "transport": transport, "poll": 0.1}
    judge["price"] = {"input": 100, "output": 200, "batch": 0.5}
    made = {"dataset": "tested", "prompts": {"source": "rows.jsonl"}, "shards": 1, "judges": [judge], **parts}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(made))
    return load_recipe(path)


def verdicts(data: Path) -> pl.DataFrame:
    frames = [pl.read_parquet(path) for path in sorted(data.glob("tested/verdicts/*/*.parquet"))]
    return pl.concat(frames).drop("cost_usd").sort("prompt_id", "response_a", "response_b")


def left_over(data: Path) -> list[Path]:
    return list(data.glob("tested/replies/*/batches/*"))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    folder = tmp_path_factory.mktemp("live")
    with serving(App(Settings())) as url:
        build(recipe(folder, url, "live"), folder / "data")
    return verdicts(folder / "data")


def test_a_batch_brings_the_same_rows_for_half(tmp_path: Path, live: pl.DataFrame) -> None:
    app = App(Settings())
    with serving(app) as url:
        one = recipe(tmp_path, url)
        build(one, tmp_path / "data")
    assert verdicts(tmp_path / "data").equals(live), "the fingerprint is the same, too"
    assert not app.sent and [len(ids) for ids in app.batches.requests] == [live.height * 2]
    (cost,) = costs(one.judges, Workspace.of(one, tmp_path / "data")).values()
    usd = (cost["prompt_tokens"] * 100 + cost["completion_tokens"] * 200) / 2e6
    assert cost["cost_usd"] == pytest.approx(usd, abs=1e-6)
    assert not left_over(tmp_path / "data")


@pytest.mark.parametrize("end", ["expired", "errors"])
def test_only_what_is_missing_is_sent_again(end: str, tmp_path: Path, live: pl.DataFrame) -> None:
    app = App(Settings())
    app.batches.plan = [end]
    with serving(app) as url:
        build(recipe(tmp_path, url), tmp_path / "data")
    first, second = app.batches.requests
    assert len(second) == len(first) - len(first) // 2 and set(second) < set(first)
    assert verdicts(tmp_path / "data").equals(live)


def test_the_batches_of_all_shards_are_sent_at_once_and_a_killed_build_goes_on(
    tmp_path: Path, live: pl.DataFrame
) -> None:
    app = App(Settings())
    app.batches.hold = True
    with serving(app) as url:
        one = recipe(tmp_path, url, shards=3)
        (judge,) = judges_of(one)
        stage, workspace = verdicts_stage(one, judge), Workspace.of(one, tmp_path / "data")
        take_in(one, workspace)

        def bring_up(budget: Budget) -> Made:
            return stage.bring_up(workspace, run=Run(budget, InBatches(budget, 0.05)))

        for _ in range(2):  # the second goes on with what the first, which is stopped as a kill would, has sent
            budget, polls = budget_of(one, workspace), app.batches.polls
            thread = threading.Thread(target=lambda budget=budget: suppress_stop(bring_up, budget))
            thread.start()
            wait_until(lambda polls=polls: app.batches.polls >= polls + 6)
            budget.stop()
            thread.join(20)
            assert not thread.is_alive()
        app.batches.hold = False
        assert bring_up(budget_of(one, workspace)).rows == live.height
    asked = [key for ids in app.batches.requests for key in ids]
    assert len(app.batches.requests) > 1 and sorted(asked) == sorted(set(asked)) and len(asked) == live.height * 2
    assert verdicts(tmp_path / "data").equals(live) and not left_over(tmp_path / "data")


def suppress_stop(bring_up: Callable[[Budget], Made], budget: Budget) -> None:
    with contextlib.suppress(StoppedError):
        bring_up(budget)


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true() and time.monotonic() < end:
        time.sleep(0.02)
    assert true()


@pytest.mark.parametrize("end", ["expired", "errors"])
def test_what_batches_never_bring_is_given_up_after_some_tries_in_all_shards(end: str, tmp_path: Path) -> None:
    app = App(Settings())
    app.batches.plan = [end] * 40
    with serving(app) as url:
        one = recipe(tmp_path, url, shards=2)
        (judge,) = judges_of(one)
        workspace = Workspace.of(one, tmp_path / "data")
        take_in(one, workspace)
        budget = budget_of(one, workspace)
        verdicts_stage(one, judge).bring_up(workspace, run=Run(budget, InBatches(budget, 0.02)))
    asked = Counter(key for ids in app.batches.requests for key in ids)
    assert max(asked.values()) <= TRIES
    assert budget._reserved == Spent(0, 0, 0.0) or abs(budget._reserved.usd) < 1e-9


def test_the_budget_holds_for_the_batches_of_all_shards(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        one = recipe(tmp_path, url, shards=3, budget={"calls": 10})
        (judge,) = judges_of(one)
        workspace = Workspace.of(one, tmp_path / "data")
        take_in(one, workspace)
        budget = budget_of(one, workspace)
        with pytest.raises(BudgetError, match=r"budget\.calls is 10"):
            verdicts_stage(one, judge).bring_up(workspace, run=Run(budget, InBatches(budget, 0.02)))
    assert sum(len(ids) for ids in app.batches.requests) == 10 == budget_of(one, workspace).spent.calls
    assert not left_over(tmp_path / "data"), "all that was paid for was fetched before that was told"


def test_killed_while_it_waits(tmp_path: Path, live: pl.DataFrame) -> None:
    app = App(Settings())
    app.batches.hold = True
    with serving(app) as url:
        one = recipe(tmp_path, url)
        for _ in range(2):
            polls = app.batches.polls
            run = subprocess.Popen([sys.executable, str(DRIVER), str(one.path), str(tmp_path / "data")])
            end = time.monotonic() + 60
            while app.batches.polls < polls + 2 and time.monotonic() < end:
                time.sleep(0.05)
            run.send_signal(signal.SIGKILL)
            run.wait()
        for path in (tmp_path / "data").glob("tested/replies/*/batches/*.json"):  # killed before the id was noted
            path.write_text(path.read_text().replace('"batch":"batch_0"', '"batch":null'))
        app.batches.hold = False
        build(one, tmp_path / "data")
    assert len(app.batches.requests) == 1, "nothing is paid for twice"
    assert verdicts(tmp_path / "data").equals(live)
    assert not left_over(tmp_path / "data")


def test_a_batch_that_the_server_has_forgotten_is_made_again(tmp_path: Path, live: pl.DataFrame) -> None:
    app = App(Settings())
    with serving(app) as url:
        one = recipe(tmp_path, url)
        (judge,) = judges_of(one)
        app.batches.plan = ["failed"]
        with pytest.raises(JudgeError):
            build(one, tmp_path / "data")
        calls = app.batches.requests[0]
        folder = tmp_path / "data" / "tested" / replies_table(judge) / "batches"
        entry = {"token": "t", "batch": "batch_99", "ids": calls, "begun": time.time()}
        (folder / "t.json").write_text(json.dumps(entry))
        build(one, tmp_path / "data")
    assert [sorted(ids) for ids in app.batches.requests] == [sorted(calls)] * 2
    assert verdicts(tmp_path / "data").equals(live) and not left_over(tmp_path / "data")


def test_a_batch_that_the_server_refuses_says_why(tmp_path: Path) -> None:
    app = App(Settings())
    app.batches.plan = ["failed"]
    with serving(app) as url:
        with pytest.raises(JudgeError, match="line 1 is not to our taste"):
            build(recipe(tmp_path, url), tmp_path / "data")
        build(recipe(tmp_path, url), tmp_path / "data")
    assert len(app.batches.requests) == 2


def test_the_budget_holds_for_batches(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        one = recipe(tmp_path, url, budget={"calls": 10})
        workspace = Workspace.of(one, tmp_path / "data")
        take_in(one, workspace)
        (shard,) = workspace.each_shard()
        with pytest.raises(BudgetError, match=r"budget\.calls is 10"):
            judge_shard(judges_of(one)[0], workspace, shard, budget_of(one, workspace))
    assert [len(ids) for ids in app.batches.requests] == [10]
    assert budget_of(one, workspace).spent.calls == 10


@pytest.mark.parametrize(("calls", "batches"), [(0, 0), (1, 1), (5_000, 1), (5_001, 2)])
def test_a_plan_counts_batches_not_seconds_of_calls(calls: int, batches: int) -> None:
    judge = {"kind": "llm-pairwise", "model": "m", "transport": "batch", "rpm": 1}
    one = LlmPairwise.model_validate(judge)
    assert (one.batches(calls), one.seconds(calls, 10**9, 10**9)) == (batches, 0)
    live = LlmPairwise.model_validate({**judge, "transport": "live"})
    assert (live.batches(calls), live.seconds(calls, 0, 0)) == (0, calls * 60)


def test_the_plan_states_the_window(tmp_path: Path) -> None:
    one = recipe(tmp_path, "http://127.0.0.1:9/v1", shards=3)
    ids = [prompt_id([{"role": "user", "content": row["prompt"]}]) for row in wide(PROMPTS)]
    batches = len({int(key[:8], 16) * 3 // 2**32 for key in ids})
    assert batches > 1
    result = CliRunner().invoke(main, ["plan", str(one.path), "--data", str(tmp_path / "data")])
    assert f"up to 24 h ({batches} batches at once)" in result.output, result.output
    told = json.loads(CliRunner().invoke(main, ["plan", str(one.path), "--data", str(tmp_path / "d"), "--json"]).stdout)
    assert told["total"]["batches"] == batches and told["total"]["seconds"] == 86_400


@pytest.mark.parametrize(("policies", "windows"), [(0, 1), (1, 2)])
def test_a_plan_counts_a_window_for_all_that_is_sent_at_once(policies: int, windows: int, tmp_path: Path) -> None:
    asked = {"base_url": "http://127.0.0.1:9/v1", "transport": "batch"}
    judges = [{"name": f"duel{i}", "kind": "llm-pairwise", "model": f"m{i}", **asked} for i in range(2)]
    policy = [{"name": "w", "kind": "openai", "model": "m", "temperature": 1.0, **asked}] * policies
    one = recipe(tmp_path, "", shards=2, judges=judges, policies=policy)
    made = plan(one, Workspace.of(one, tmp_path / "data"))
    assert [line.estimate.seconds for line in made.lines] == [86_400] * (2 + policies)
    assert made.total.seconds == windows * 86_400


def test_policies_write_in_batches(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(PROMPTS))
    app = App(Settings())
    with serving(app) as url:
        policy = {"name": "w", "kind": "openai", "model": "m", "base_url": url, "samples": 2, "temperature": 1.0}
        policy |= {"transport": "batch", "poll": 0.1}
        one = recipe_of(tmp_path, "rows.jsonl", shards=1, policies=[policy], judges=[{"kind": "length"}])
        workspace = Workspace.of(one, tmp_path / "data")
        take_in(one, workspace)
        (shard,) = workspace.each_shard()
        assert sample_shard(one, policies_of(one)[0], workspace, shard) == PROMPTS * 2
    rows = pl.read_parquet(workspace.file(samples_table(policies_of(one)[0]), shard))
    assert rows.get_column("text").null_count() == 0 and not app.sent


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"token": "other", "batch": 3}'])
def test_a_damaged_note_of_a_batch_is_made_again_from_its_requests_or_named(tmp_path: Path, damage: bytes) -> None:
    lines = [line_of(name, "/chat/completions", {"model": "m"}, 0) for name in ("a-0", "b-1")]
    entry, requests = Journal(tmp_path).open({"a-0", "b-1"}, lines)
    note = Journal(tmp_path).folder / f"{entry.token}.json"
    note.write_bytes(damage)
    (found,) = Journal(tmp_path).entries()
    assert (found.token, found.batch, found.ids) == (entry.token, None, entry.ids)
    requests.write_bytes(b"\xff")
    with pytest.raises(StoreError, match=f"{note.name}, which notes a batch that was sent, is damaged") as caught:
        Journal(tmp_path).entries()
    assert len(str(caught.value).splitlines()) == 1 and note.read_bytes() == damage
