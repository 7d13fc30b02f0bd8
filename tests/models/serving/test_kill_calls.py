"""Judging killed at random moments, over a server with faults: nothing is paid for twice but calls in flight."""

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
import yaml
from helpers import TESTS, build, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.storage.journal import journal_frames
from pairwright.models.serving.call import TRIES
from pairwright.models.serving.reply import UnusableError, answer_of
from pairwright.schemas.reading import load_recipe

DRIVER = TESTS / "e2e" / "resume.py"
CONCURRENCY = 16
FAULTS = ("429", "500", "503", "reset", "torn-json", "wrong-schema", "empty", "garbage", "slow")


def write_recipe(folder: Path, url: str, prompts: int) -> Path:
    write_jsonl(folder / "rows.jsonl", wide(prompts, responses=5))
    judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "concurrency": CONCURRENCY, "deadline": 5}
    judge["max_failure_share"] = 1
    recipe = {"dataset": "killed", "prompts": {"source": "rows.jsonl"}, "shards": 2, "judges": [judge]}
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def verdicts(data: Path) -> pl.DataFrame:
    frames = [pl.read_parquet(path) for path in sorted(data.glob("killed/verdicts/*/*.parquet"))]
    return pl.concat(frames).drop("cost_usd").sort("prompt_id", "response_a", "response_b")


def replies(data: Path) -> pl.DataFrame:
    frames = [pl.read_parquet(path) for path in sorted(data.glob("killed/replies/*/*.parquet"))]
    frames += list(journal_frames(sorted(data.glob("killed/replies/*/*.arrows"))))
    return pl.concat(frames, how="diagonal_relaxed") if frames else pl.DataFrame()


def readable(body: str) -> bool:
    try:
        return '"verdict": "C"' not in answer_of(body).text
    except UnusableError:
        return False


@pytest.mark.parametrize(
    ("prompts", "kills"), [(24, 5), pytest.param(250, 50, marks=pytest.mark.slow)], ids=["480-calls", "5000-calls"]
)
def test_killed_at_random_moments(prompts: int, kills: int, tmp_path: Path) -> None:
    app = App(Settings(fault_rate=0.2, faults=FAULTS, latency=0.03, seed=3))
    draw = random.Random(5)
    done = 0
    with serving(app) as url:
        recipe = write_recipe(tmp_path, url, prompts)
        for _ in range(kills):
            run = subprocess.Popen(
                [sys.executable, str(DRIVER), str(recipe), str(tmp_path / "data")], stdout=subprocess.PIPE
            )
            assert run.stdout is not None
            run.stdout.readline()
            time.sleep(draw.uniform(0.2, 1.0))
            run.send_signal(signal.SIGKILL)
            done += run.wait() == -signal.SIGKILL
            kept = replies(tmp_path / "data").height
            assert len(app.sent) - kept <= CONCURRENCY * done + CONCURRENCY
        app.settings = Settings()
        build(load_recipe(recipe), tmp_path / "data")
        rows = replies(tmp_path / "data").with_columns(fine=pl.col("body").map_elements(readable, pl.Boolean))
        tries = rows.group_by("key").agg(pl.len(), pl.col("fine").any())
        assert tries.filter(~pl.col("fine") & (pl.col("len") != TRIES)).is_empty(), "a build tries a call as often"
        build(load_recipe(recipe), tmp_path / "data")  # calls whose tries all met a fault are asked again
        disturbed = verdicts(tmp_path / "data")
        rows = replies(tmp_path / "data")
        assert rows.select("prompt_id", "key", "attempt").is_unique().all()
        assert len(app.sent) - rows.height <= CONCURRENCY * done, "only what was in flight at a kill was lost"
        usable = Counter(key for key, body in rows.select("key", "body").iter_rows() if readable(body))
        assert usable.total() == len(usable) == prompts * 20, "a reply that was kept is used, and never asked for again"
        build(load_recipe(recipe), tmp_path / "undisturbed")
    assert disturbed.equals(verdicts(tmp_path / "undisturbed"))
    assert done >= kills // 2
