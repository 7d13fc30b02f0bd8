"""A policy whose model writes in this process."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationInfo, model_validator

from pairwright.assets.sampling.policies.base import Policy
from pairwright.models.estimate import Estimate
from pairwright.models.serving.endpoint import estimated_tokens
from pairwright.schemas.ids import seed_of
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.models import CausalModel
from pairwright.schemas.naming import with_named
from pairwright.schemas.served import Thinking


class Transformers(Policy):
    """A causal model on this machine, without a server: a folder, or one from the Hub. Samples are written many at a
    time, and each batch is kept before the next is begun."""

    kind: Literal["transformers"] = "transformers"
    model: CausalModel
    """Which one; its `max_tokens` is the longest prompt and sample together."""
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Of sampling."""
    max_tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest sample; one that reaches it counts as truncated."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of all draws; each sample has a stream of its own."""
    thinking: Thinking | None = None
    """How reasoning is marked in what the model writes, if it does reason."""
    batch_size: Annotated[int | None, Field(ge=1), Runtime] = None
    """Samples written at a time; by default 32 on a CPU and 128 elsewhere, and half of that, and so on, where memory
    does not hold them."""

    @model_validator(mode="before")
    @classmethod
    def _named_once(cls, data: Any, info: ValidationInfo) -> Any:
        """Of a model that the recipe names, how to sample is the policy's; the model itself takes the rest."""
        told = with_named(data, "model", cls.model_fields.keys() - {"model"}, info.context)
        return data if told is data else {**told, "model": data["model"]}

    @model_validator(mode="after")
    def _is_here(self) -> Self:
        if self.model.base_url:
            raise ValueError("kind: transformers runs its model here; for one behind a base_url, write kind: openai")
        return self

    @property
    def longest(self) -> int:
        """As the recipe says."""
        return self.max_tokens

    def sample_seed(self, prompt_id: str, number: int) -> int:
        """Of a sample's stream of draws: from the policy's seed, the prompt and its number alone."""
        return seed_of("sample", str(self.seed), prompt_id, str(number))

    def estimate(self, missing: Iterator[tuple[list[dict[str, Any]], list[int]]]) -> Estimate:
        """Each sample is a pass; tokens of prompts are estimated, samples are taken to be as long as they may be."""
        samples, prompts = 0, 0
        for messages, numbers in missing:
            samples += len(numbers)
            prompts += estimated_tokens(messages) * len(numbers)
        return Estimate(passes=samples, prompt_tokens=prompts, completion_tokens=self.max_tokens * samples)
