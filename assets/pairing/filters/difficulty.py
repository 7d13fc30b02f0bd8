"""Difficulty: how strongly the reference model prefers the wrong side, and the loss at which DPO would turn that round.

c = log p_ref(rejected) - log p_ref(chosen). A pair is ranked rightly exactly when its DPO loss is at most
-log sigmoid(beta c), so a great c asks for a loss near zero ("Preference Learning Algorithms Do Not Learn Preference
Rankings").
"""

import math
from typing import Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from pairwright.assets.pairing.filters.base import Bounds, Filter
from pairwright.models.local.request import PassRequest
from pairwright.schemas.models import CausalModel


class Difficulty(Filter):
    """Keeps pairs whose order the reference model can be taught."""

    kind: Literal["difficulty"] = "difficulty"
    model: CausalModel
    """The reference model: the one that training begins with."""
    maximum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Greatest c that stays, in nats summed over a response and the end of its turn."""
    minimum_loss: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Pairs that are ranked rightly only once their DPO loss is below this go."""
    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """Of that loss."""
    best: ClassVar[Literal["largest", "smallest"]] = "smallest"

    def need(self) -> PassRequest:
        """The sums of both sides."""
        return PassRequest(self.model)

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """c; not known where the model could not read a side."""
        chosen, rejected = (reference_logprob(f"likelihood_{side}") for side in ("chosen", "rejected"))
        return pairs.select((rejected - chosen).alias("value")).to_series()

    def bounds(self) -> Bounds:
        """Up to the maximum, and up to the c that `minimum_loss` stands for."""
        limits = [] if self.maximum is None else [self.maximum]
        if self.minimum_loss is not None:
            limits.append(hardest(self.minimum_loss, self.beta))
        return Bounds(maximum=min(limits, default=None))


def loss_threshold(c: float, beta: float) -> float:
    """-log sigmoid(beta c): the DPO loss, in nats, at or below which a pair of difficulty c is ranked rightly."""
    x = beta * c
    return max(-x, 0.0) + math.log1p(math.exp(-abs(x)))


def hardest(loss: float, beta: float) -> float:
    """The difficulty whose loss threshold this is."""
    return -(loss + math.log(-math.expm1(-loss))) / beta  # log(expm1(loss)) without its overflow


def reference_logprob(row: str) -> pl.Expr:
    """Summed log-probability, the end of the turn included, from a struct column with a likelihoods row."""
    one = pl.col(row).struct
    return one.field("logprob") + one.field("end_logprob").fill_null(0.0)
