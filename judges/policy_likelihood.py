"""How probable a response is to a model, or how much more probable the prompt makes it."""

from collections.abc import Iterator
from typing import Literal

import polars as pl

from pairwright.judges.base import Batch, Judge
from pairwright.judges.likelihood.scores import gain, length, side_by_side, total, verdicts
from pairwright.models.local.request import EMPTY, PassRequest
from pairwright.schemas.models import CausalModel


class PolicyLikelihood(Judge):
    """log p(response | prompt) of one model, in nats."""

    kind: Literal["policy-likelihood"] = "policy-likelihood"
    model: CausalModel
    """Reads the responses."""
    conditional: bool = False
    """Subtract log p(response | a user's turn without text): what is probable anywhere then counts for nothing."""
    normalise: Literal["mean", "sum"] = "mean"
    """mean: per token of the response; sum: over all of them, which favours short ones."""
    count_end: bool = True
    """Whether the token that ends the turn counts."""

    def needs(self) -> tuple[PassRequest, ...]:
        """The model on the prompt and, for `conditional`, without it."""
        return (
            (PassRequest(self.model), PassRequest(self.model, EMPTY))
            if self.conditional
            else (PassRequest(self.model),)
        )

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response; an empty one without a counted token has no mean."""
        frame = side_by_side(work, **dict(zip(("given", "alone"), self.needs(), strict=False)))
        score = total("given", count_end=self.count_end)
        if self.conditional:
            score = gain("given", "alone", count_end=self.count_end)
        if self.normalise == "mean":
            score /= length("given", count_end=self.count_end)
        yield from verdicts(frame, policy_likelihood=score)
