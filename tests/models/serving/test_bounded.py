"""Replies of any size: read within a bound that follows from what was asked for, unpacked size and time included."""

import asyncio
import functools
import gzip
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import judge_all, recipe_of, table, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.models.serving.bounded import FLOOR, most_bytes
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.wire import Wire, open_client, request

MIB = 1 << 20


@functools.cache
def bomb(mib: int) -> bytes:
    return gzip.compress(b'{"choices": "' + b"x" * (mib * MIB) + b'"}', 1)


class Large(App):
    """Answers questions about `about` with a stream of large pieces, packed or not, with a status."""

    about, manner, status, mib = "question", "plain", 200, 16

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        if self.about not in str(body):
            await super().complete(body, send)
            return
        headers = [(b"content-type", b"application/json")]
        if self.manner in {"gzip", "br"}:
            headers.append((b"content-encoding", self.manner.encode()))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        async for piece in self.pieces():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def pieces(self) -> AsyncIterator[bytes]:
        if self.manner == "gzip":
            yield bomb(self.mib)
        elif self.manner == "drip":
            for _ in range(100):
                yield b" "
                await asyncio.sleep(0.05)
        else:
            for _ in range(self.mib):
                yield b"x" * MIB
                await asyncio.sleep(0)


def post(url: str, **body: Any) -> Wire:
    async def once() -> Wire:
        endpoint = Endpoint(model="m", base_url=url, deadline=2.0)
        async with open_client(endpoint) as client:
            said = {"model": "m", "messages": [{"role": "user", "content": "question"}], "max_tokens": 16, **body}
            return await request(client, "/chat/completions", said, None)

    return asyncio.run(once())


@pytest.mark.parametrize("manner", ["plain", "gzip"])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_reply_beyond_its_bound_is_given_up(manner: str, status: int) -> None:
    app = Large(Settings())
    app.manner, app.status = manner, status
    with serving(app) as url:
        found = post(url)
    assert found.kind == "unfit" and found.problem is not None
    assert "larger than the 1,048,576 bytes" in found.problem


def test_packing_that_nobody_asked_for_and_replies_without_an_end_are_no_answers() -> None:
    app = Large(Settings())
    with serving(app) as url:
        app.manner = "br"
        assert "packed with 'br'" in str(post(url).problem)
        app.manner = "drip"
        assert "deadline" in str(post(url).problem)


def test_packed_replies_are_read() -> None:
    class Packing(App):
        async def complete(self, body: dict[str, Any], send: Any) -> None:
            data = gzip.compress(json.dumps(self.chat_of(body, ["é" * 100_000], "ok")).encode())
            headers = [(b"content-encoding", b"gzip"), (b"content-length", str(len(data)).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": data})

    app = Packing(Settings())
    with serving(app) as url:
        found = post(url)
    assert found.body is not None and "\\u00e9" * 100_000 in found.body
    assert app.headers[0]["accept-encoding"] == "gzip"


def test_the_bound_grows_with_what_is_asked_for() -> None:
    plain = {"max_tokens": 1000}
    assert most_bytes(plain) == FLOOR
    assert most_bytes(plain | {"n": 64}) > 3 * FLOOR
    assert most_bytes(plain | {"logprobs": True, "top_logprobs": 20}) > 5 * FLOOR
    assert most_bytes({"max_tokens": 1, "echo": True, "logprobs": 1, "prompt": [1] * 10_000}) > 4 * FLOOR
    assert most_bytes({"max_tokens": 16, "logprobs": 0}) == FLOOR


def test_it_is_a_failure_of_the_call_alone_and_is_asked_again(tmp_path: Path) -> None:
    app = Large(Settings())
    app.about = "question 1"
    write_jsonl(tmp_path / "rows.jsonl", wide(3, responses=2))
    with serving(app) as url:
        judge = {"kind": "llm-rating", "aspects": ["helpfulness"], "model": "m", "base_url": url}
        made = recipe_of(tmp_path, "rows.jsonl", judges=[judge], shards=1)
        rows = table(judge_all(made, tmp_path / "data"), verdicts_table(judges_of(made)[0]))
        failed = rows.filter(pl.col("failure").is_not_null())
        assert failed.height == 2 and failed.get_column("failure").str.contains("larger than the").all()
        app.about = "no such question"
        rows = table(judge_all(made, tmp_path / "data"), verdicts_table(judges_of(made)[0]))
        assert rows.get_column("failure").null_count() == 6


MEASURE = """
import asyncio, resource, sys
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.wire import open_client, request

async def work(url):
    endpoint = Endpoint(model="m", base_url=url, deadline=20.0)
    async with open_client(endpoint) as client:
        body = {"model": "m", "messages": [{"role": "user", "content": "question"}], "max_tokens": 16}
        async def once():
            return await request(client, "/chat/completions", body, None)
        await once()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found = await asyncio.gather(*(once() for _ in range(4)))
        assert all(one.kind == "unfit" for one in found), found
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024

print(asyncio.run(work(sys.argv[1])))
"""


def test_memory_stays_within_the_bounds_of_the_calls_in_flight() -> None:
    app = Large(Settings())
    app.manner, app.mib = "gzip", 64
    bomb(64)
    with serving(app) as url:
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, url], capture_output=True, text=True, timeout=120, check=True
        )
    assert int(done.stdout) < 40, "MiB, for four replies of 64 MiB"
