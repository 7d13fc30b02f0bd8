"""Progress in a run's log: now and then a line, the last of each stage always, whoever else listens."""

import threading
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from helpers import recipe_of, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.display.progress import Step, listening
from pairwright.pipelines.build import definitions
from pairwright.pipelines.dagster_assets import run_log
from pairwright.pipelines.dagster_assets.run_log import RunLog
from pairwright.pipelines.names import every_shard, job_name
from pairwright.schemas.recipe import Recipe


class Clock:
    """A clock that goes when it is told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_every_ten_seconds_and_the_last_one_of_each_stage() -> None:
    lines: list[str] = []
    clock = Clock()
    log = RunLog(lines.append, clock)
    log(Step("domains", 7, 9))
    for second in range(26):
        clock.now = 100.0 + second
        log(Step("verdicts/duel 1/1", 100 * second, 12_000, 0.5 * second))
        log(Step("source", second, None))
    assert lines[:2] == ["domains: 7 of 9", "verdicts/duel 1/1: 0 of 12,000"], "when the next stage begins"
    del lines[:2]
    assert lines == [
        "verdicts/duel 1/1: 1,000 of 12,000, 100/s, $5.00",
        "source: 10, 1/s",
        "verdicts/duel 1/1: 2,000 of 12,000, 100/s, $10.00",
        "source: 20, 1/s",
    ]
    clock.now = 131.0
    for cost in (15.0, 15.5, 16.0):
        log(Step("verdicts/duel 1/1", 12_000, 12_000, cost))
    assert lines[4:] == ["verdicts/duel 1/1: 12,000 of 12,000, 387/s, $15.00"], "the end is told at once, and once"
    log.close()
    assert lines[5:] == ["verdicts/duel 1/1: 12,000 of 12,000, 387/s, $16.00", "source: 25, 0.81/s"]


def test_many_threads_may_tell() -> None:
    lines: list[str] = []
    log = RunLog(lines.append)
    threads = [
        threading.Thread(target=lambda name=f"stage {i % 4}": [log(Step(name, j, None)) for j in range(500)])
        for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    assert {line.split(",")[0] for line in lines[-4:]} == {f"stage {i}: 499" for i in range(4)}
    assert len(lines) <= 10, "one where another stage begins, and the last ones"


def judged(folder: Path, url: str) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(3))
    price = {"input": 1e6, "output": 1e6}
    one = {"kind": "llm-rating", "name": "rated", "model": "m", "base_url": url, "price": price, "concurrency": 2}
    return recipe_of(folder, "rows.jsonl", shards=1, judges=[one], release={"test_fraction": 0, "formats": ["trl"]})


def test_a_run_of_the_ui_tells_how_far_its_calls_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(run_log, "EVERY", 0.0)
    heard: list[Step] = []
    with (
        serving(App(Settings(latency=0.3, sigma=0.0))) as url,
        dg.DagsterInstance.ephemeral() as instance,
        listening(heard.append),
    ):
        recipe = judged(tmp_path, url)
        job = definitions([recipe]).resolve_job_def(job_name(recipe))
        quiet: dict[str, Any] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        result = job.execute_in_process(instance=instance, tags=every_shard(recipe), run_config=quiet)
        lines = [one.user_message for one in instance.all_logs(result.run_id) if one.level == 20]
    told = [line for line in lines if line.startswith("verdicts/rated 1/1: ")]
    assert len(told) > 3, lines
    assert all(step.total is None or step.done <= step.total for step in heard), "of four aspects, too"
    assert told[-1].startswith("verdicts/rated 1/1: 12 of 12") and "$" in told[-1]
    for stage in ("source", "source: shards", "preferences", "pairs", "rankings", "release", "export trl"):
        assert any(line.startswith(f"{stage}: ") for line in lines), stage
    assert {step.stage for step in heard} >= {"source", "verdicts/rated 1/1", "pairs"}, "others hear it as before"


def test_no_asset_is_without(tmp_path: Path) -> None:
    parts: dict[str, Any] = {
        "policies": [{"name": "small", "kind": "openai", "model": "m", "base_url": "http://127.0.0.1:1/v1"}],
        "release": {"formats": ["trl"], "hub": "org/name"},
        "schedule": {"relabel": "0 2 * * *"},
    }
    assets = definitions([recipe_of(tmp_path, "rows.jsonl", **parts)]).assets or []
    for asset in assets:
        if isinstance(asset, dg.SourceAsset):
            continue  # it is looked at, and not made
        assert isinstance(asset, dg.AssetsDefinition)
        assert hasattr(asset.op.compute_fn.decorated_fn, "__wrapped__"), asset.key  # type: ignore[union-attr]
    assert len(list(assets)) > 10
