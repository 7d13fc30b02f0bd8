"""A policy: a model with the parameters that its samples are drawn with."""

import json
from abc import abstractmethod
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, model_validator

from pairwright.models.estimate import Estimate
from pairwright.schemas.kinds import FailureShare, Kind

LATER = {"reasoning_effort", "thinking", "extra", "twins"}
"""Options that are told only where they are set: samples drawn before there were any are described without them."""


class Sample(NamedTuple):
    """A text that a policy wrote."""

    text: str
    reasoning: str | None
    tool_calls: str | None
    finish_reason: str | None
    logprob: float | None
    prompt_tokens: int | None
    completion_tokens: int | None


class Policy(Kind, family="policy"):
    """Writes responses. Its fingerprint names all that can change them; the number of samples cannot."""

    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    """Of sampling."""
    samples: Annotated[int, Field(ge=1, le=1024)] = 4
    """Texts to draw for each prompt. Raising it draws only the further ones."""
    system: str | list[str] = ""
    """System prompt, in place of the conversation's own; of several, sample i takes the i-th, over and over."""
    stop: list[str] = Field(default_factory=list)
    """Texts that end a sample."""
    max_failure_share: FailureShare = 0.1
    """Greatest share of its samples that may fail. Above it a build makes no release and says why; what was paid for is
    kept. One failure alone is never too many, unless this is 0."""

    @model_validator(mode="after")
    def _samples_differ(self) -> Self:
        systems = 1 if isinstance(self.system, str) else max(1, len(self.system))
        if self.temperature == 0 and self.samples > systems:
            raise ValueError(
                f"samples: {self.samples} at temperature 0 would be the same text again; raise temperature, or set "
                f"samples: {systems}"
            )
        return self

    @property
    @abstractmethod
    def longest(self) -> int:
        """Tokens of its longest sample."""

    @property
    def modalities(self) -> frozenset[str]:
        """What it reads of a conversation: text, image, audio, video."""
        return frozenset({"text"})

    @property
    def reads_tools(self) -> bool:
        """Whether there is a place for tools and calls of them in what it is asked."""
        return True

    @property
    def variants(self) -> "list[Policy]":
        """The policies that it stands for: itself, unless it has twins."""
        return [self]

    @property
    def names(self) -> list[str]:
        """Of its variants."""
        return [one.name for one in self.variants]

    @property
    def pooled_as(self) -> str:
        """The fingerprint by which a pool draws it."""
        return self.fingerprint

    def content(self) -> dict[str, Any]:
        """All but the number of samples."""
        found = super().content()
        found.pop("samples", None)
        return found

    def chat(self, messages: list[dict[str, str]], number: int) -> list[dict[str, str]]:
        """The conversation with the system prompt of that sample."""
        systems = [self.system] if isinstance(self.system, str) else self.system
        if not any(systems):
            return messages
        rest = [one for one in messages if one["role"] not in {"system", "developer"}]
        return [{"role": "system", "content": systems[number % len(systems)]}, *rest]

    @abstractmethod
    def estimate(self, missing: Iterator[tuple[list[dict[str, Any]], list[int]]]) -> Estimate:
        """What these samples (conversation, numbers) would take, if each were as long as it may be."""

    def described(self) -> str:
        """The sampling parameters, as the responses table keeps them."""
        told = {name: one for name, one in self.content().items() if one or name not in LATER}
        return json.dumps(told, sort_keys=True, ensure_ascii=False)
