"""How fast calls go: against a bare client loop of the same concurrency, a loop with barriers, and on the CPU."""

import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from statistics import median

import openai
import polars as pl

from pairwright.assets.storage.reply_ledger import findings_file, open_replies
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.judges.base import Batch
from pairwright.judges.llm_rating import LlmRating
from pairwright.models.serving.abilities import keep
from pairwright.models.serving.finding import Finding
from pairwright.schemas.ids import prompt_id, response_id

CONCURRENCY = 64
CALLS, ROUNDS = 3_000, 5
BARRIER = 50
"""Calls of a batch that the loop with barriers waits for."""
SIGMA = 0.75
"""Of the lognormal latency."""
SERVER = Path(__file__).with_name("llm_server.py")


def measure() -> dict[str, float]:
    """llm_vs_raw_client and llm_vs_barrier: our calls per second over theirs. llm_cpu_ms_per_call: our CPU time a call
    beyond the bare client's. llm_plan_gib: memory that 100,000 planned calls take, in GiB."""
    with tempfile.TemporaryDirectory() as folder, _server() as url:
        asyncio.run(_bare(url, _bodies(url, 200)))  # warm
        raw, ours = [], []
        for turn in range(ROUNDS):  # by turns, so that a machine that slows down for a while slows both
            raw.append(_timed(lambda: asyncio.run(_bare(url, _bodies(url, CALLS)))))
            ours.append(_timed(lambda turn=turn: _ours(url, CALLS, Path(folder) / str(turn))))  # type: ignore[misc] # mypy cannot infer it
        barrier = _timed(lambda: asyncio.run(_barriers(url, _bodies(url, CALLS // 2))))
    both = list(zip(raw, ours, strict=True))
    return {
        "llm_vs_raw_client": median(theirs[0] / mine[0] for theirs, mine in both),
        "llm_cpu_ms_per_call": median(mine[1] - theirs[1] for theirs, mine in both) / CALLS * 1e3,
        "llm_vs_barrier": barrier[0] * 2 / median(mine[0] for mine in ours),
        "llm_plan_gib": _planned(100_000),
    }


class _server:  # noqa: N801 - reads as a verb
    """A server process of its own, so that its CPU time is not ours; the block gets its URL."""

    def __enter__(self) -> str:
        command = [sys.executable, str(SERVER), str(SIGMA), str(CALLS)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    """Seconds on the clock, and of the CPU."""
    start, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - cpu


def _judge(url: str) -> LlmRating:
    options = {
        "kind": "llm-rating",
        "model": "m",
        "base_url": url,
        "aspects": ["helpfulness"],
        "concurrency": CONCURRENCY,
    }
    return LlmRating.model_validate(options)


def _work(calls: int) -> Batch:
    draw = random.Random(0)
    words = [f"word{i}" for i in range(500)]
    prompts = [" ".join(draw.choices(words, k=30)) + str(i) for i in range(calls // 4)]
    ids = [prompt_id([{"role": "user", "content": text}]) for text in prompts]
    messages = [[{"role": "user", "content": text}] for text in prompts]
    texts = [(one, " ".join(draw.choices(words, k=60)) + str(i)) for one in ids for i in range(4)]
    frame = pl.DataFrame({"prompt_id": ids, "messages": messages}).with_columns(
        references=pl.lit([], pl.List(pl.String)), domain=pl.lit(None, pl.String)
    )
    responses = pl.DataFrame(texts, schema=["prompt_id", "text"], orient="row")
    responses = responses.with_columns(pl.Series("response_id", [response_id(*one) for one in texts]))
    return Batch(frame.sort("prompt_id"), responses.sort("prompt_id", "response_id"))


def _bodies(url: str, calls: int) -> Iterator[dict[str, object]]:
    return (call.body for call in _judge(url)._calls(_work(calls)))


def _ours(url: str, calls: int, folder: Path) -> None:
    judge, work = _judge(url), _work(calls)
    keep(findings_file(folder), judge, [Finding("schema", "yes", "")])  # as after the first build: it is asked once
    with open_replies(judge, Workspace(folder, "bench", 1), Shard(0, 1), work.prompts) as one:
        rows = sum(
            frame.filter(pl.col("score").is_not_null()).height for frame in judge.judge(work._replace(replies=one))
        )
    assert rows == calls


async def _bare(url: str, bodies: Iterator[dict[str, object]]) -> None:
    async def worker(ask: Callable[[dict[str, object]], Awaitable[object]]) -> None:
        for body in bodies:
            await ask(body)

    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:
        ask = _asker(client)
        await asyncio.gather(*(worker(ask) for _ in range(CONCURRENCY)))


async def _barriers(url: str, bodies: Iterator[dict[str, object]]) -> None:
    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0) as client:
        ask, batch = _asker(client), []
        for body in bodies:
            batch.append(body)
            if len(batch) == BARRIER:
                await asyncio.gather(*map(ask, batch))
                batch = []


def _asker(client: openai.AsyncOpenAI) -> Callable[[dict[str, object]], Awaitable[object]]:
    async def ask(body: dict[str, object]) -> object:
        reply = await client.chat.completions.create(**body)  # type: ignore[call-overload]
        return json.loads(reply.choices[0].message.content)["rating"]

    return ask


def _planned(calls: int) -> float:
    """Peak memory of a process that plans so many calls, in GiB."""
    run = subprocess.run([sys.executable, __file__, str(calls)], stdout=subprocess.PIPE, text=True, check=True)
    return float(run.stdout)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        planned = _judge("http://127.0.0.1:1/v1").estimate(_work(int(sys.argv[1])))
        assert planned.calls == int(sys.argv[1])
        sys.stdout.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2))
    else:
        sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
