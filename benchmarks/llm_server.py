"""A server that rates whatever it is asked after a lognormal wait: `python llm_server.py SIGMA CALLS` prints its URL.

The waits begin again after so many calls, so that each run of as many has the same ones in the same order.
"""

import asyncio
import itertools
import json
import math
import random
import sys
import threading
from typing import Any

import uvicorn

MEDIAN = 0.15
"""Seconds that half of the replies take at most."""
SIGMA, CALLS = float(sys.argv[1]), int(sys.argv[2])
DRAW = random.Random(0)
WAITS = itertools.cycle([MEDIAN * math.exp(DRAW.gauss(0, SIGMA)) for _ in range(CALLS)])
ANSWER = {"rationale": "It does what was asked, at the right depth, and is correct as far as one can see.", "rating": 4}
BODY = json.dumps(
    {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "m",
        "choices": [
            {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(ANSWER)}}
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 30, "total_tokens": 330},
    }
).encode()
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the request, wait, answer."""
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(next(WAITS))
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.01)
    sys.stdout.write(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    sys.stdin.read()  # until the one who started it goes
