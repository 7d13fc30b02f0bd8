"""End to end with a model that really judges: sample, judge both orders, release; its accuracy and bias are its own."""

import importlib.util
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import SHARED, build, recipe_of, write_jsonl
from replay_server import serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.audit import audit
from pairwright.assets.judging.judge import judge_shard, verdicts_table
from pairwright.assets.pairing.prefer import judges_of
from pairwright.assets.sampling import sample
from pairwright.assets.storage.store import Workspace
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.probe import probe

MODEL = SHARED.parent / "models" / "tiny-strong"
pytestmark = pytest.mark.skipif(
    not MODEL.exists(), reason=f"no {MODEL}: the tiny judge model is not beside the checkout"
)

TOPICS = {
    "cooking": ("soup bread omelette stew", "bake season", "heat the pan/measure the flour/add a pinch of salt"),
    "cycling": ("bicycle chain saddle wheel", "repair clean", "loosen the bolts/wipe off the grease/spin it slowly"),
    "music": ("guitar violin piano drum", "tune practise", "set the metronome/listen to the pitch/rest your hands"),
    "painting": ("portrait mural canvas brush", "paint restore", "mix the colours/let the layer dry/sign the corner"),
}
TEMPLATE = (
    "Which response is better?\nQuestion: {{ messages[-1].content }}\n"
    "Response A: {{ responses[0].text }}\nResponse B: {{ responses[1].text }}"
)


def items(count: int) -> list[dict[str, Any]]:
    """Questions with an answer to them and one from another topic."""
    draw = random.Random(0)
    rows = []
    for _ in range(count):
        mine, other = draw.sample(sorted(TOPICS), 2)
        texts = []
        for topic in (mine, other):
            nouns, verbs, steps = (part.split(mark) for part, mark in zip(TOPICS[topic], "  /", strict=True))
            noun, verb, adjective = (
                draw.choice(nouns),
                draw.choice(verbs),
                draw.choice(["small", "old", "large", "cheap"]),
            )
            texts.append(f"To {verb} a {adjective} {noun}, first {steps[0]}. Then {steps[1]}, and finally {steps[2]}.")
            rows.append({"prompt": f"How do I {verb} a {adjective} {noun}?"}) if topic == mine else None
        rows[-1] |= {"responses": texts, "policies": ["right", "off-topic"]}
    return list({row["prompt"]: row for row in rows}.values())


def judge(folder: Path, url: str, **options: Any) -> dict[str, Any]:
    (folder / "duel.jinja").write_text(TEMPLATE)
    common = {"kind": "llm-pairwise", "model": str(MODEL), "base_url": url, "max_tokens": 24, "concurrency": 4}
    return {**common, "template": "duel.jinja", "answer_key": "winner", "ties": False, "structured": False, **options}


def accuracy(folder: Path, made: Any) -> tuple[float, float]:
    """Share of pairs whose right answer wins in both orders, and the flip rate."""
    workspace = Workspace.of(made, folder / "data")
    (shard,) = workspace.each_shard()
    one = judges_of(made)[0]
    path = workspace.file(verdicts_table(one), shard)
    right = pl.read_parquet(workspace.file("responses", shard)).filter(pl.col("policies").list.contains("right"))
    rows = pl.read_parquet(path).join(right.select("prompt_id", right="response_id"), on="prompt_id")
    won = pl.when(pl.col("right") == pl.col("response_a")).then(pl.col("p_a")).otherwise(1 - pl.col("p_a"))
    flips = next(figure.share for figure in audit(one, workspace, [path]) if figure.name == "flips between orders")
    return float(rows.select((won > 0.5).mean()).item()), flips


def test_with_a_server_that_can_do_it_all(tmp_path: Path) -> None:
    from model_server import ModelApp

    rows = items(40)
    write_jsonl(tmp_path / "rows.jsonl", rows)
    app = ModelApp(MODEL)
    with serving(app) as url:
        found = {
            one.feature: one.state
            for one in probe(Endpoint(model="m", base_url=url), {"n", "logprobs", "schema", "echo"})
        }
        assert found == {"chat": "yes", "n": "yes", "logprobs": "yes", "schema": "yes", "echo": "yes"}
        policy = {"name": "tiny", "kind": "openai", "model": "m", "base_url": url, "samples": 2, "max_tokens": 40}
        weighed = judge(tmp_path, url, logprobs=True)
        made = recipe_of(tmp_path, "rows.jsonl", judges=[weighed], policies=[policy], shards=1)
        workspace = Workspace.of(made, tmp_path / "sampled")
        take_in(made, workspace)
        (shard,) = workspace.each_shard()
        (tiny,) = sample.policies_of(made)
        assert sample.sample_shard(made, tiny, workspace, shard) == 2 * len(rows)
        sample.respond(made, workspace, shard)
        assert judge_shard(judges_of(made)[0], workspace, shard) > 2 * len(rows)
        plain = recipe_of(tmp_path, "rows.jsonl", judges=[weighed], shards=1)
        assert build(plain, tmp_path / "data").path.is_dir()
    right, flips = accuracy(tmp_path, plain)
    assert right > 0.8
    assert flips < 0.2


@contextmanager
def transformers_serve() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(MODEL)]
    if not Path(command[0]).exists():
        command = [sys.executable, "-c", "from transformers.cli.transformers import main; main()", *command[1:]]
    command += [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
        "--dtype",
        "float32",
        "--continuous-batching",
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, env={**os.environ, "HF_HUB_OFFLINE": "1"}, **quiet)
    try:
        end = time.monotonic() + 90
        while time.monotonic() < end:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=2):
                    break
            except OSError:
                assert server.poll() is None, "transformers serve ended"
                time.sleep(0.3)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("fastapi") is None, reason="transformers serve needs fastapi")
def test_with_transformers_serve(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", items(30))
    with transformers_serve() as url:
        found = {
            one.feature: one.state
            for one in probe(Endpoint(model=str(MODEL), base_url=url), {"n", "logprobs", "schema"})
        }
        assert found == {"chat": "yes", "n": "no", "logprobs": "no", "schema": "no"}
        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge(tmp_path, url)], shards=1)
        build(made, tmp_path / "data")
    right, flips = accuracy(tmp_path, made)
    assert right > 0.8
    assert flips < 0.2
