"""The reward that a policy trained by preferences holds implicitly, against the reference it was trained from (SPA)."""

from collections.abc import Iterator
from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from pairwright.judges.base import Batch, Judge
from pairwright.judges.likelihood.scores import gain, side_by_side, verdicts
from pairwright.models.local.request import PassRequest
from pairwright.schemas.models import CausalModel


class ImplicitReward(Judge):
    """beta * (log p of the policy - log p of the reference), summed over the response and the end of its turn."""

    kind: Literal["implicit-reward"] = "implicit-reward"
    policy: CausalModel
    """The trained model."""
    reference: CausalModel
    """The model that its training began with."""
    beta: Annotated[float, Field(gt=0)] = 0.1
    """The strength of the KL term in its training."""

    def needs(self) -> tuple[PassRequest, ...]:
        """Both models' sums."""
        return PassRequest(self.policy), PassRequest(self.reference)

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response, in nats times beta."""
        frame = side_by_side(work, policy=PassRequest(self.policy), reference=PassRequest(self.reference))
        yield from verdicts(frame, implicit_reward=self.beta * gain("policy", "reference", count_end=True))
