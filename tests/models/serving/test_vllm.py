"""Against a real vLLM, which `vllm.sh` here installs and names: samples, refusals, resuming, log-probs."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from helpers import build, recipe_of, table, write_jsonl
from tiny_models import TINY

from pairwright.assets.storage.store import Workspace
from pairwright.models.serving.fields import fitted
from pairwright.schemas.recipe import Recipe

PYTHON = os.environ.get("PAIRWRIGHT_VLLM_PYTHON", "")
CONTEXT = 512
CONCURRENCY = 4
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="no vLLM: tests/models/serving/vllm.sh installs one and runs this"),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the tiny model, on the processor."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = (
        f"--model {TINY / 'strong'} --served-model-name tiny --host 127.0.0.1 --port {port} --dtype float32 "
        f"--max-model-len {CONTEXT} --max-logprobs 20 --enforce-eager --no-enable-chunked-prefill "
        "--max-num-batched-tokens 16384"
    )
    environment = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "VLLM_NO_USAGE_STATS": "1",
    }
    environment.pop("PYTHONPATH", None)
    log = tmp_path_factory.mktemp("vllm") / "log"
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", *options.split()]
    with log.open("wb") as out:
        server = subprocess.Popen(command, env=environment, stdout=out, stderr=out, start_new_session=True)
    try:
        end = time.monotonic() + 240
        while not _healthy(port):
            assert server.poll() is None and time.monotonic() < end, log.read_text(encoding="utf-8")[-3000:]
            time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as reply:
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def policy(url: str, **options: Any) -> dict[str, Any]:
    return {
        "kind": "openai",
        "name": "tiny",
        "model": "tiny",
        "base_url": url,
        "concurrency": CONCURRENCY,
        "samples": 4,
        "temperature": 1.2,
        "max_tokens": 24,
        **options,
    }


def recipe(folder: Path, *policies: dict[str, Any], prompts: list[str], **parts: Any) -> Recipe:
    rows = [{"prompt": prompt, "responses": ["a given answer", "another one"]} for prompt in prompts]
    write_jsonl(folder / "rows.jsonl", rows)
    return recipe_of(folder, "rows.jsonl", policies=list(policies), judges=[{"kind": "length"}], **parts)


def questions(count: int) -> list[str]:
    return ["How do I bake a small bread?"] + [f"How do I clean chain number {i}?" for i in range(1, count)]


def samples(recipe: Recipe, data: Path) -> pl.DataFrame:
    """The samples of a build."""
    build_all(recipe, data)
    frames = [pl.read_parquet(path) for path in sorted(data.glob(f"{recipe.dataset}/samples/*/*.parquet"))]
    return pl.concat(frames)


def build_all(recipe: Recipe, data: Path) -> None:
    """Samples, then the rest, as the job runs them."""
    from pairwright.assets.intake.source import take_in
    from pairwright.assets.sampling import sample

    workspace = Workspace.of(recipe, data)
    take_in(recipe, workspace)
    for shard in workspace.each_shard():
        for one in sample.policies_of(recipe):
            sample.sample_shard(recipe, one, workspace, shard)
        sample.respond(recipe, workspace, shard)
    build(recipe, data)


@pytest.mark.parametrize("kind", ["openai", "openai-completions"])
def test_prompts_do_not_share_one_stream_of_draws(kind: str, url: str, tmp_path: Path) -> None:
    """The same prompt but for a space, so that only the seed can tell the samples apart."""
    prompts = ["How do I bake bread" + " " * i + "?" for i in range(1, 31)]
    drawn = samples(recipe(tmp_path, policy(url, kind=kind), prompts=prompts), tmp_path / "data")
    texts = drawn.get_column("text").drop_nulls()
    assert drawn.height == 120
    assert texts.n_unique() >= 0.9 * texts.len()


def test_refused_prompts_are_failures_and_block_no_later_build(url: str, tmp_path: Path) -> None:
    prompts = questions(30) + [f"{i} " + "word " * 2 * CONTEXT for i in range(10)]
    made = recipe(tmp_path, policy(url, samples=1, max_failure_share=1), prompts=prompts)
    for _ in range(2):
        drawn = samples(made, tmp_path / "data")
        refused = drawn.filter(pl.col("text").is_null())
        assert refused.height == 10
        assert refused.get_column("failure").str.contains(str(CONTEXT)).all(), "the server's own reason is told"
    assert table(Workspace.of(made, tmp_path / "data"), "responses").height >= 40 * 2


def test_a_killed_build_repeats_only_what_was_in_flight(url: str, tmp_path: Path) -> None:
    made = recipe(tmp_path, policy(url, samples=1, max_tokens=64), prompts=questions(200))
    path = tmp_path / "recipe.yaml"
    content = {
        "dataset": "tested",
        "prompts": {"source": "rows.jsonl"},
        "shards": 2,
        "judges": [{"kind": "length"}],
        "policies": [policy(url, samples=1, max_tokens=64)],
    }
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    data, before = tmp_path / "data", _asked(url)
    run = subprocess.Popen([sys.executable, "-m", "pairwright", "build", str(path), "--data", str(data)])
    end = time.monotonic() + 60
    while _asked(url) < before + 40 and time.monotonic() < end:
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert samples(made, data).get_column("text").is_not_null().all()
    assert 200 <= _asked(url) - before <= 200 + CONCURRENCY + 4, "and a few probes"


def _asked(url: str) -> int:
    """Requests that the server has begun, by its own count."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    found = [line for line in lines if line.startswith("vllm:request_success_total")]
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in found))


def test_text_completions_keep_their_log_probs(url: str, tmp_path: Path) -> None:
    options = {"kind": "openai-completions", "logprobs": True, "samples": 2}
    drawn = samples(recipe(tmp_path, policy(url, **options), prompts=questions(10)), tmp_path / "data")
    told = drawn.filter(pl.col("text").is_not_null())
    assert told.height == 20
    assert told.get_column("logprob").is_not_null().all()
    assert told.get_column("logprob").max() < 0


def test_further_fields_reach_the_server_and_make_other_samples(url: str, tmp_path: Path) -> None:
    """At top_k 1 nothing is drawn, whatever the temperature; and a build finds out what the server takes, once."""
    made = recipe(tmp_path, policy(url, extra={"top_k": 1, "min_p": 0.0}), prompts=questions(5))
    drawn = samples(made, tmp_path / "data").filter(pl.col("text").is_not_null())
    assert drawn.get_column("text").n_unique() == drawn.get_column("prompt_id").n_unique()
    known = json.loads((tmp_path / "data" / ".servers.json").read_text(encoding="utf-8"))
    assert {one["takes top_k"][0] for one in known.values()} == {"yes"}


def test_it_takes_what_goes_in_place_of_max_tokens(url: str) -> None:
    body = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
    content = json.dumps(fitted(body, ["max_tokens"])).encode()
    asked = urllib.request.Request(f"{url}/chat/completions", content, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as reply:
        assert json.loads(reply.read())["usage"]["completion_tokens"] <= 3


def test_likelihoods_by_the_server_are_those_in_this_process(url: str, tmp_path: Path) -> None:
    scores = []
    for place in ({}, {"base_url": url, "served_as": "tiny"}):
        judge = {
            "kind": "policy-likelihood",
            "name": "how-likely",
            "model": {"id": str(TINY / "strong"), "max_tokens": CONTEXT, **place},
        }
        rows = [{"prompt": one, "responses": ["First, heat the pan.", "No idea."]} for one in questions(12)]
        write_jsonl(tmp_path / "rows.jsonl", rows)
        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge])
        data = tmp_path / ("served" if place else "here")
        build(made, data)
        frames = [pl.read_parquet(path) for path in sorted(data.glob("tested/verdicts/*/*.parquet"))]
        scores.append(pl.concat(frames).sort("response_id").get_column("score"))
    assert (scores[0] - scores[1]).abs().max() < 1e-4
