"""A loopback server that speaks the OpenAI protocol from recorded or made-up replies, with faults on a seeded schedule.

`python replay_server.py SETTINGS.json` runs it by itself and prints its port; `serving(...)` runs it in a thread.
"""

import asyncio
import contextlib
import hashlib
import json
import math
import random
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import uvicorn
from replay_batches import Batches

FAULTS = (
    "429", "429-wait", "500", "503", "reset", "stall", "torn-json", "wrong-schema", "empty", "length", "refusal",
    "garbage", "twice", "missing", "slow",
)  # fmt: skip
LOST = {"429", "429-wait", "500", "503", "reset", "stall"}
"""Faults after which the client holds no whole reply."""
FINE = {"ok", "slow"}
HELLO = "Say hello."
"""How a probe is known."""
SHOWN = re.compile(r"^BEGIN RESPONSE (\w) (\w+)\n(.*?)\nEND RESPONSE \1 \2$", re.MULTILINE | re.DOTALL)


class Settings(NamedTuple):
    """What the server does."""

    fault_rate: float = 0.0
    faults: tuple[str, ...] = FAULTS
    seed: int = 0
    latency: float = 0.0
    """Median seconds of a reply."""
    sigma: float = 0.75
    stall: float = 30.0
    log: str | None = None
    """A line for every reply that was sent whole: request, fault."""


def number(text: str) -> float:
    """A number from 0 to 1 that depends on a text alone."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) / 256**7


def judge_by_hash(body: dict[str, Any]) -> str:
    """A verdict that depends on the texts shown alone: a rating, a winner or an order, as the schema asks."""
    if "response_format" not in body:
        return write_by_hash(body)
    text = body["messages"][-1]["content"]
    shown = {label: number(response) for label, _, response in SHOWN.findall(text)}
    wanted = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
    answer: dict[str, Any] = {"rationale": "First.\n\nThen, a blank line and {braces}."}
    if "ranking" in wanted:
        answer["ranking"] = sorted(shown, key=lambda label: -shown[label])
    elif "ratings" in wanted:
        answer = {"ratings": [{"response": k, "rationale": "so", "rating": 1 + int(v * 5)} for k, v in shown.items()]}
    elif "rating" in wanted:
        answer["rating"] = 1 + int(shown["A"] * 5)
    else:
        answer["verdict"] = "A" if shown["A"] > shown["B"] else "B"
    return json.dumps(answer)


def write_by_hash(body: dict[str, Any], place: int = 0) -> str:
    """A made-up text for a prompt, other for each seed."""
    key = f"{body.get('messages') or body.get('prompt')}|{body.get('seed')}|{place}|{body.get('temperature')}"
    return " ".join(f"w{int(number(f'{key}{i}') * 50)}" for i in range(2 + int(number(key) * 6)))


class App:
    """The ASGI application."""

    def __init__(self, settings: Settings, answer: Callable[[dict[str, Any]], str] = judge_by_hash) -> None:
        self.settings, self.answer = settings, answer
        self.arrivals: Counter[str] = Counter()
        self.sent: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.in_flight = self.most_in_flight = 0
        self.lies: set[str] = set()
        """What it ignores in silence: n, logprobs, schema."""
        self.bodies: list[dict[str, Any]] = []
        self.probes: list[dict[str, Any]] = []
        """Requests that only try what the server can do; they never meet a fault."""
        self.batches = Batches(self.body_of)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if re.search(r"/(files|batches)(/|$)", scope["path"]):
                status, found = self.batches.serve(scope["method"], scope["path"], body)
                await reply(send, status, found)
            else:
                await self.route(scope["path"], body, send)
        finally:
            self.in_flight -= 1

    async def route(self, path: str, body: bytes, send: Any) -> None:
        if path.endswith(("/chat/completions", "/completions")):
            await self.complete(json.loads(body), send)
        elif path.endswith("/models"):
            await reply(send, 200, {"object": "list", "data": [{"id": "m", "object": "model"}]})
        else:
            await reply(send, 404, {"error": {"message": f"no {path}"}})

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        if HELLO in str(body.get("messages") or body.get("prompt")):
            self.probes.append(body)
            return await self.answered(body, "ok", send)
        return await self.asked(body, send)

    async def asked(self, body: dict[str, Any], send: Any) -> None:
        self.bodies.append(body)
        plain = {key: value for key, value in body.items() if key != "seed" or "response_format" not in body}
        key = hashlib.blake2b(json.dumps(plain, sort_keys=True).encode(), digest_size=8).hexdigest()
        arrival = self.arrivals[key]
        self.arrivals[key] += 1
        draw = random.Random(f"{self.settings.seed}|{key}|{arrival}")
        fault = draw.choice(self.settings.faults) if draw.random() < self.settings.fault_rate else "ok"
        if self.settings.latency:
            await asyncio.sleep(self.settings.latency * math.exp(draw.gauss(0, self.settings.sigma)))
        if fault == "slow":
            await asyncio.sleep(0.2)
        if fault == "stall":
            await asyncio.sleep(self.settings.stall)
        await self.answered(body, fault, send)
        if fault not in LOST:
            self.sent.append((key, fault))
            if self.settings.log:
                with Path(self.settings.log).open("a") as log:
                    log.write(f"{key} {fault}\n")

    async def answered(self, body: dict[str, Any], fault: str, send: Any) -> None:
        if fault in {"429", "429-wait", "500", "503", "stall"}:
            wait = [(b"retry-after", b"0.05")] if fault == "429-wait" else []
            code = {"429-wait": 429, "stall": 503}.get(fault) or int(fault)
            await reply(send, code, {"error": {"message": "busy"}}, wait)
        elif fault == "reset":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
            await send({"type": "http.response.body", "body": b'{"choices'})
        elif fault == "garbage":
            await reply(send, 200, b"\xff\xfe\x00garbage\x9f" * 9)
        else:
            found = self.body_of(body, fault)
            data = json.dumps(found).encode()
            await reply(send, 200, data[: len(data) // 2] if fault == "torn-json" else data)

    def body_of(self, body: dict[str, Any], fault: str) -> dict[str, Any]:
        """A chat or text completion, with a fault in its content."""
        many = 1 if "n" in self.lies else body.get("n") or 1
        if HELLO in str(body.get("messages") or body.get("prompt")):
            able = "response_format" in body and "schema" not in self.lies
            return self.chat_of(body, ['{"zebra_count": 3}' if able else "Hello!"] * many, fault)
        texts = [self.answer(body) if many == 1 and "messages" in body else write_by_hash(body, i) for i in range(many)]
        return self.chat_of(body, texts, fault)

    def chat_of(self, body: dict[str, Any], texts: list[str], fault: str) -> dict[str, Any]:
        reason = "stop"
        if fault == "wrong-schema":
            texts = [json.dumps({"rationale": "A is better", "verdict": "C", "rating": 45, "ranking": ["A", "A"]})]
        elif fault == "empty":
            texts = [""]
        elif fault == "length":
            texts, reason = [text[: len(text) // 2] for text in texts], "length"
        choices: list[dict[str, Any]] = []
        for index, text in enumerate(texts):
            message = {"role": "assistant", "content": text}
            if fault == "refusal":
                message = {"role": "assistant", "content": None, "refusal": "I cannot help with that."}
            choice = {"index": index, "finish_reason": reason, "logprobs": self.logprobs(body, text)}
            choices.append(choice | ({"message": message} if "messages" in body else {"text": text}))
        if fault == "twice":
            choices *= 2
        elif fault == "missing":
            choices = choices[1:]
        prompt = len(json.dumps(body.get("messages") or body.get("prompt"))) // 4
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(len(text) // 4 for text in texts)}
        return {"id": "x", "object": "chat.completion", "model": body["model"], "choices": choices, "usage": usage}

    def logprobs(self, body: dict[str, Any], text: str) -> dict[str, Any] | None:
        if not body.get("logprobs") or "logprobs" in self.lies:
            return None
        tokens = re.findall(r"\w+|\W", text)
        return {"content": [{"token": token, "logprob": -0.1, "top_logprobs": []} for token in tokens]}


async def reply(send: Any, status: int, body: Any, headers: Any = ()) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": data})


@contextlib.contextmanager
def serving(app: Any) -> Iterator[str]:
    """The base URL of an application that runs in a thread for as long as the block does."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + 20
    while not server.started and time.monotonic() < end:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(5)


if __name__ == "__main__":
    settings = json.loads(Path(sys.argv[1]).read_text())
    with serving(App(Settings(**settings | {"faults": tuple(settings.get("faults", FAULTS))}))) as url:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        sys.stdin.read()  # until the one who started it goes
