"""Reads through an OpenAI-compatible completions endpoint that echoes the log-probabilities of a prompt.

Token ids are sent, never text, so that the boundaries are those found here. Servers that cannot echo ignore the request
in silence or answer shifted by one, so a new server is probed first. Prefix caching makes some servers' prompt
log-probabilities depend on the order of requests: switch it off for scoring.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import numpy as np
import openai

from pairwright.models.local.backend import Reading, Readings
from pairwright.models.local.loading import load_tokenizer
from pairwright.models.local.packing import Branch, flat
from pairwright.models.serving.bounded import at_most, most_bytes
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.redact import without
from pairwright.models.serving.reply import UnusableError, echoed_of, envelope
from pairwright.models.serving.wire import open_blocking_client, trouble
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.models import CausalModel

CALLS = 16
"""Requests in flight."""
RETRIES = 4
"""Of a request that meets a busy or broken server, by the client, with its own pauses."""


def endpoint_of(model: CausalModel) -> Endpoint:
    """Where a served model is; its key is sent only if the recipe names one."""
    name = model.served_as or model.id
    reached_by = {"base_url": str(model.base_url), "api_key_env": model.api_key_env, "headers_env": model.headers_env}
    return Endpoint.model_validate({"model": name, "concurrency": CALLS, **reached_by})


def limit_of(model: CausalModel) -> int:
    """Greatest number of tokens of a text: a server refuses one that leaves no room for another token.

    The recipe states it, since longer texts are cut there, and what can change an answer is part of the fingerprint.
    Raises JudgeError where it does not, with the limit that the server tells, if it does.
    """
    if model.max_tokens:
        return model.max_tokens - 1
    where = f"model {model.id!r} at {model.base_url}: where texts are cut is for the recipe to say"
    told = stated_limit(endpoint_of(model))
    if told is None:
        raise JudgeError(f"{where}, and the server does not tell its limit; set max_tokens to the model's context")
    raise JudgeError(f"{where}; the server's limit is {told}, so set max_tokens: {told}, or less")


@functools.lru_cache(maxsize=64)
def _listed(url: str, key: str | None, headers: tuple[tuple[str, str], ...]) -> str:
    there = Endpoint(model="-", base_url=url, api_key_env=key, headers_env=dict(headers), deadline=10.0)
    with open_blocking_client(there, 0) as client:
        return str(client.get("/models", cast_to=httpx2.Response).content.decode(errors="replace"))


def stated_limit(endpoint: Endpoint) -> int | None:
    """`max_model_len` of the model in the server's list, as vLLM tells it; None where it cannot be had."""
    try:
        listed = envelope(_listed(endpoint.base_url, endpoint.api_key_env, tuple(endpoint.headers_env.items()))).get(
            "data"
        )
    except (openai.OpenAIError, UnusableError, JudgeError):
        return None
    for one in listed if isinstance(listed, list) else ():
        limit = one.get("max_model_len") if isinstance(one, dict) and one.get("id") == endpoint.model else None
        if isinstance(limit, int) and 16 <= limit < 2**31:
            return limit
    return None


class Server:
    """A served model. Its tokenizer is loaded here, from the model's folder or the Hub."""

    def __init__(self, model: CausalModel) -> None:
        self.limit, self.endpoint = limit_of(model), endpoint_of(model)
        self.tokenizer, self.secret = load_tokenizer(model), self.endpoint.secret
        self._client = open_blocking_client(self.endpoint, RETRIES)
        self._probe()

    def read(self, groups: Sequence[Sequence[Branch]]) -> Readings:
        """Readings of all branches, by their sinks; hidden states are none."""
        branches = [branch for group in groups for branch in flat(group)]
        with ThreadPoolExecutor(CALLS) as pool:
            readings = pool.map(self._reading, branches)
            return {branch.sink: one for branch, one in zip(branches, readings, strict=True)}

    def _reading(self, branch: Branch) -> Reading:
        """What the server makes of a text. Its failure is the text's own as long as the probe still goes well.

        Servers refuse some texts, and a log-probability of minus infinity is no JSON.
        """
        try:
            return Reading(self._echo(branch.ids)[branch.start :])
        except JudgeError as error:
            self._probe()
            return Reading(np.full(len(branch.ids) - branch.start, np.nan), failure=str(error))

    def _echo(self, ids: list[int]) -> np.ndarray:
        """Log-probability of each token, from the second on; the first is not a number."""
        body: dict[str, Any] = {"model": self.endpoint.model, "prompt": ids, "max_tokens": 1, "temperature": 0.0}
        body |= {"echo": True, "logprobs": 1}
        try:
            with at_most(most_bytes(body)):
                reply = self._client.post("/completions", cast_to=httpx2.Response, body=body)
            listed = echoed_of(without(reply.content.decode(errors="replace"), self.secret), len(ids))
        except openai.OpenAIError as error:
            raise JudgeError(f"{self._label()} failed ({trouble(error, self.secret)})") from None
        except UnusableError as problem:
            raise JudgeError(
                f"{self._label()} does not echo the prompt's log-probabilities ({problem}); serve with vLLM, or drop "
                "base_url"
            ) from None
        return np.array([np.nan, *listed], dtype=np.float64)

    def _probe(self) -> None:
        """Ask for two texts that differ in their last token but one: what comes before must not differ."""
        words = self.tokenizer("One two three four five six", add_special_tokens=False)["input_ids"]
        other = [*words[:-2], words[0], words[-1]]
        a, b = self._echo(words), self._echo(other)
        here = len(words) - 2
        if not np.allclose(a[1:here], b[1:here], atol=0.05) or abs(a[here] - b[here]) < 1e-6:
            raise JudgeError(f"{self._label()} echoes log-probabilities at the wrong tokens; it cannot score")

    def _label(self) -> str:
        return f"model {self.endpoint.model!r} at {self.endpoint.base_url}"
