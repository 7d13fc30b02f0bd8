"""Which model answers, and how to reach it. Only the former can change an answer."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import model_validator

from pairwright.models.estimate import Estimate
from pairwright.models.serving.reply_store import Spent
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.served import Price as Price
from pairwright.schemas.served import ServedModel

CHARACTERS_PER_TOKEN = 4.0
"""The stated estimate where a model's tokenizer is not at hand: English text in common vocabularies."""
MESSAGE_TOKENS = 4
"""What a chat template adds to each message, in the same estimate."""
SHORTEST = 8
"""Characters of a header's value that is kept secret: to blot out shorter ones would blot out words."""
MEDIUM_TOKENS = 1_000
"""What an image or a sound is taken for, in the same estimate."""
WINDOW = 24 * 3600.0
"""Seconds within which a server promises to have ended a batch."""
BATCH_CALLS = 5_000
"""Requests of one batch; servers take tens of thousands, but a file of long prompts must fit their limit, too."""
LATENCY, TOKENS_PER_SECOND = 0.5, 50.0
"""The stated pace of a call: seconds to the first token, and tokens a second after it."""

TYPICAL_ANSWER = 200
"""Tokens that an answer is estimated at, unless max_tokens is less: a short rationale and the verdict."""


class Endpoint(ServedModel):
    """Options of everything that calls a model on a server that speaks the OpenAI protocol."""

    @property
    def key(self) -> str | None:
        """The key from the environment. Raises JudgeError when the named variable is not set."""
        return None if self.api_key_env is None else self._variable(self.api_key_env, "the key")

    @model_validator(mode="after")
    def _sends_media_live(self) -> Self:
        if self.transport == "batch" and set(self.input_modalities) - {"text"}:
            raise ValueError("transport: batch sends files of texts; use transport: live for a model that reads images")
        return self

    @property
    def headers(self) -> dict[str, str]:
        """Further headers, their values from the environment. Raises JudgeError when a variable is not set."""
        return {name: self._variable(variable, f"the header {name}") for name, variable in self.headers_env.items()}

    @property
    def secret(self) -> tuple[str, ...]:
        """What no text may show: the key, and the values of headers, but for those too short to be secrets."""
        values = (one for one in self.headers.values() if len(one) >= SHORTEST)
        return (*((self.key,) if self.key else ()), *values)

    def _variable(self, name: str, what: str) -> str:
        value = os.environ.get(name, "").strip()
        if not value or not value.isprintable() or not value.isascii():
            wrong = "is not set" if not value else "holds what no header can"
            raise JudgeError(f"the environment variable {name} {wrong}; it must hold {what} for {self.base_url}")
        return value

    @property
    def is_unpriced(self) -> bool:
        """Whether it is a server elsewhere, which seldom works for nothing, without a price."""
        return self.base_url.startswith("https") and not (self.price.input or self.price.output)

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """USD for one call by this transport."""
        share = self.price.batch if self.transport == "batch" else 1.0
        return self.price.cost(prompt_tokens, completion_tokens) * share

    def bound(self, messages: Sequence[Mapping[str, Any]], answer: int) -> Spent:
        """What one call with an answer of so many tokens may take at most: a token for every two bytes of prompt."""
        prompt = sum(len(text_of(one).encode()) // 2 + 8 + media_tokens(one) for one in messages)
        return Spent(1, prompt + answer, self.cost(prompt, answer))

    def batches(self, calls: int) -> int:
        """Batches that so many calls of a shard are sent in; none for live calls."""
        return -(-calls // BATCH_CALLS) if self.transport == "batch" else 0

    def seconds(self, calls: int, prompt_tokens: int, completion_tokens: int) -> float:
        """Seconds that so much work takes at the recipe's limits, or at a common pace where it states none.

        None through the Batch API, where a window is all that is known.
        """
        if self.transport == "batch":
            return 0.0
        at_once = calls / self.concurrency * (LATENCY + completion_tokens / max(calls, 1) / TOKENS_PER_SECOND)
        by_requests = calls / self.rpm * 60 if self.rpm else 0.0
        by_tokens = (prompt_tokens + completion_tokens) / self.tpm * 60 if self.tpm else 0.0
        return max(at_once, by_requests, by_tokens)

    def estimate_of(self, calls: int, prompt_tokens: int, completion_tokens: int, verdicts: int = 0) -> Estimate:
        """So many calls with what they take in all: tokens, cost, time, batches."""
        return Estimate(
            verdicts=verdicts,
            calls=calls,
            prompt_tokens=prompt_tokens,
            completion_tokens=completion_tokens,
            cost_usd=self.cost(prompt_tokens, completion_tokens),
            seconds=self.seconds(calls, prompt_tokens, completion_tokens),
            batches=self.batches(calls),
        )

    def sampling(self) -> dict[str, Any]:
        """The request's fields that steer sampling."""
        effort = {"reasoning_effort": self.reasoning_effort} if self.reasoning_effort else {}
        return {
            "model": self.model,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_tokens,
            "seed": self.seed,
            **effort,
            **self.extra,
        }

    def fields(self) -> dict[str, Any]:
        """What all its calls carry beside their question; a server may refuse some of it."""
        return {name: value for name, value in self.sampling().items() if name != "model"}


def text_of(message: Mapping[str, Any]) -> str:
    """The text of a message of a request."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def media_tokens(message: Mapping[str, Any]) -> int:
    """About how many tokens the images and sounds of a message take."""
    content = message.get("content") or ""
    return 0 if isinstance(content, str) else MEDIUM_TOKENS * sum(part["type"] != "text" for part in content)


def estimated_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """About how many tokens a chat takes: four characters a token and four tokens a message."""
    texts = sum(int(len(text_of(one)) / CHARACTERS_PER_TOKEN) + 1 + MESSAGE_TOKENS for one in messages)
    return texts + sum(map(media_tokens, messages))


class Tokens:
    """Counts tokens: with the model's own tokenizer where `model` is a folder, by estimate otherwise."""

    def __init__(self, model: str) -> None:
        self._tokenizer: Any = None
        path = Path(model) / "tokenizer.json"
        if path.is_file():
            from tokenizers import Tokenizer

            self._tokenizer = Tokenizer.from_file(str(path))

    def of(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Tokens of a chat."""
        if self._tokenizer is None:
            return estimated_tokens(messages)
        counts = (len(self._tokenizer.encode(text_of(one)).ids) + media_tokens(one) for one in messages)
        return sum(count + MESSAGE_TOKENS for count in counts)
