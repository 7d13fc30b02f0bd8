"""Policies over a server: their calls, and what is read of the replies."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Self

from pydantic import PrivateAttr, ValidationError, model_validator

from pairwright.assets.sampling.policies.base import Policy, Sample
from pairwright.assets.sampling.policies.twins import SIDES, Twins
from pairwright.models.estimate import Estimate
from pairwright.models.serving.call import Call
from pairwright.models.serving.endpoint import Endpoint, Tokens
from pairwright.models.serving.reasoning import answer_start, told_apart
from pairwright.models.serving.reply import USUAL, Choice, UnusableError, choices_of, cut, usage_of
from pairwright.schemas.errors import dotted
from pairwright.schemas.ids import digest, seed_of
from pairwright.schemas.served import Thinking


class ServedPolicy(Policy, Endpoint):
    """A policy whose model is behind a server."""

    logprobs: bool = False
    """Keep the summed log-prob of each sample, where the server tells it; one that refuses to is an error. A response
    has none where its sample has reasoning, which is no part of it."""

    twins: Twins | None = None
    """Draw each sample twice, with thinking on and with thinking off."""

    _variants: "list[ServedPolicy]" = PrivateAttr(default_factory=list)
    _pooled_as: str | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _twins_are_policies(self) -> Self:
        if self.twins is not None:
            told = self.model_dump(mode="json", exclude_unset=True, exclude={"twins"}) | {"name": self.name}
            for side in SIDES:
                try:
                    made = type(self).model_validate(self.twins.options(side, told))
                except ValidationError as error:
                    wrong = error.errors(include_url=False, include_input=False)[0]
                    raise ValueError(f"twins.{side}: {dotted(wrong['loc'])}: {wrong['msg']}") from None
                made._pooled_as = self.fingerprint
                self._variants.append(made)
            if len({one.fingerprint for one in self._variants}) < len(SIDES):
                raise ValueError("twins.on and twins.off are the same; say in `off` how the model is told not to think")
        return self

    @property
    def longest(self) -> int:
        """As the recipe says."""
        return self.max_tokens

    @property
    def modalities(self) -> frozenset[str]:
        """As the recipe says."""
        return frozenset(self.input_modalities)

    @property
    def variants(self) -> list[Policy]:
        """Itself, or its twins."""
        return list(self._variants) or [self]

    @property
    def pooled_as(self) -> str:
        """One for both twins, so that they write for the same prompts."""
        return self._pooled_as or self.fingerprint

    path: ClassVar[str]
    """Of the request that writes."""

    def fields(self) -> dict[str, Any]:
        """With what ends a sample, and whether log-probs are wanted."""
        found = super().fields()
        if self.stop:
            found["stop"] = self.stop
        if self.logprobs:
            found["logprobs"] = True if self.path.startswith("/chat") else 1
        return found

    @abstractmethod
    def request(self, messages: list[dict[str, str]]) -> dict[str, Any]:
        """Body of the request that writes for a conversation, without what all have in common."""

    def call(
        self,
        prompt_id: str,
        messages: list[dict[str, Any]],
        numbers: list[int],
        tools: list[dict[str, Any]] | None = None,
    ) -> Call:
        """One call for these samples, which share a system prompt.

        Its seed is that of the prompt and the first of the samples: under one seed for all, a server that honours it
        draws the same for every prompt. With `n`, such servers count on from it.
        """
        chat = self.chat(messages, numbers[0])
        seed = seed_of("sample", str(self.seed), prompt_id, str(numbers[0]))
        body = {"model": self.model} | self.fields() | self.request(chat) | {"seed": seed}
        if tools:
            body["tools"] = tools
        if len(numbers) > 1:
            body["n"] = len(numbers)
        most = self.bound(chat, self.max_tokens * len(numbers))
        key = digest("sample", prompt_id, *map(str, numbers))

        def read_samples(reply: str) -> list[Sample | None]:
            return read(reply, len(numbers), self.thinking)

        return Call(key, prompt_id, (prompt_id, numbers), self.path, body, most, read_samples)

    def estimate(self, missing: Iterator[tuple[list[dict[str, str]], list[int]]]) -> Estimate:
        """What these samples (conversation, numbers) would take, if each were as long as it may be."""
        tokens, calls, prompt, written = Tokens(self.model), 0, 0, 0
        for messages, numbers in missing:
            for group in self.groups(numbers):
                calls += 1
                prompt += tokens.of(self.chat(messages, group[0]))
                written += self.max_tokens * len(group)
        return self.estimate_of(calls, prompt, written)

    def groups(self, numbers: list[int]) -> list[list[int]]:
        """Sample numbers that one call with `n` can draw: those with the same system prompt."""
        systems = 1 if isinstance(self.system, str) else max(1, len(self.system))
        found: dict[int, list[int]] = {}
        for number in sorted(numbers):
            found.setdefault(number % systems, []).append(number)
        return [group for _, group in sorted(found.items())]


def read(reply: str, expected: int, marks: Thinking | None = None) -> list[Sample | None]:
    """The samples in a reply, fewer where the server ignores `n` or breaks off; None in place of one without an answer.

    What can be used is kept whatever became of the others. Raises UnusableError where nothing can.
    """
    choices = choices_of(reply, expected, least=1)
    prompt, written, _ = usage_of(reply)
    alone = len(choices) == 1
    samples: list[Sample | None] = []
    problem: UnusableError | None = None
    for one in choices:
        try:
            if why := cut(one, reply, marks or USUAL):
                raise UnusableError(why)
            samples.append(_sample(told_apart(one, marks), prompt or None, (written or None) if alone else None))
        except UnusableError as error:
            samples.append(None)
            problem = problem or error
    if problem is not None and not any(samples):
        raise problem
    return samples


def _sample(choice: Choice, prompt: int | None, written: int | None) -> Sample:
    """A sample as it was written: where nobody tells its reasoning apart, with that in the text. Raises UnusableError
    for one that never comes to its answer."""
    if not choice.text.strip() and choice.tool_calls is None:
        cut = choice.finish_reason == "length"
        raise UnusableError("truncated: max_tokens was reached before the answer" if cut else "a sample is empty")
    if choice.reasoning is None:
        answer_start(choice.text)
    if choice.tokens:
        written = len(choice.tokens)
    logprob = sum(token.logprob for token in choice.tokens) if choice.tokens else None
    return Sample(choice.text, choice.reasoning, choice.tool_calls, choice.finish_reason, logprob, prompt, written)
