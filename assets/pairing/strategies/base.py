"""The interface of a pair strategy: from a prompt's ranked responses to pairs whose chosen side is strictly better."""

from abc import abstractmethod
from typing import Annotated

import polars as pl
from pydantic import Field

from pairwright.assets.pairing.same_answer import unlike
from pairwright.schemas.ids import scattered
from pairwright.schemas.kinds import Member

SIDES = ["prompt_id", "chosen_id", "rejected_id"]
REJECTED = {"response_id": "rejected_id", "utility": "utility_rejected"}
"""What the columns of ranked responses are called for the other side of a candidate."""


class Strategy(Member, family="strategy"):
    """Which pairs are drawn from a prompt's ranked responses."""

    strategy: str
    """Which strategy it is."""
    minimum_margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Candidates with a smaller utility difference are not drawn at all."""
    max_per_prompt: Annotated[int, Field(ge=1)] | None = None
    """At most this many pairs of a prompt, widest margin first."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Of the strategies that draw at random: draws depend on it and on content ids only. The others take no notice."""

    @abstractmethod
    def candidates(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """Pairs with prompt_id, response_id and utility of one side, rejected_id and utility_rejected of the other, of
        the same prompt, each pair once. Those whose first side is not strictly better are taken out again.

        `ranked` has prompt_id, response_id and utility of whole prompts, a prompt's best response first, ties in id
        order. Pairs of a prompt depend on its rows and the options alone.
        """

    def draw(self, preferences: pl.DataFrame, same: pl.DataFrame | None = None) -> pl.DataFrame:
        """Pairs of ranked responses.

        `preferences` are rows of that table; `same` tells which responses say the same. Returns prompt_id, chosen_id,
        rejected_id, sorted; the utility of chosen is strictly higher in every row, and its answer another.
        """
        ranked = (
            preferences.filter(pl.col("utility").is_not_null())
            .select("prompt_id", "response_id", "utility")
            .sort("prompt_id", "utility", "response_id", descending=[False, True, False])
        )
        sides = unlike(self.candidates(ranked), same)
        worse = pl.col("utility") - pl.col("utility_rejected")
        sides = sides.filter((worse > 0) & (worse >= self.minimum_margin)).rename({"response_id": "chosen_id"})
        if self.max_per_prompt is not None:
            widest = pl.col("_margin").rank("ordinal", descending=True).over("prompt_id")
            sides = sides.with_columns(_margin=worse).sort(SIDES).filter(widest <= self.max_per_prompt)
        return sides.select(SIDES).sort(SIDES)


def best_of(ranked: pl.DataFrame) -> pl.DataFrame:
    """The best response of each prompt, of several the first by id."""
    return ranked.group_by("prompt_id", maintain_order=True).first()


def beside(better: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Candidates: each of the better responses with each of the others of its prompt."""
    return better.join(others.rename(REJECTED), on="prompt_id")


def others_than_best(ranked: pl.DataFrame) -> pl.DataFrame:
    """Every response but its prompt's best, with that one's utility as `best`."""
    best = best_of(ranked).rename({"utility": "best", "response_id": "best_id"})
    return ranked.join(best, on="prompt_id").filter(pl.col("response_id") != pl.col("best_id"))


def drawn_of(others: pl.DataFrame, seed: int) -> pl.DataFrame:
    """One of the others of each prompt, by seed and content ids alone: prompt_id, response_id, utility."""
    order = scattered(pl.col("response_id"), "draw", str(seed))
    first = others.sort("prompt_id", order, "response_id").group_by("prompt_id", maintain_order=True).first()
    return first.select("prompt_id", "response_id", "utility")
