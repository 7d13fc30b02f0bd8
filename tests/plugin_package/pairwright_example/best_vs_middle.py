"""A pair strategy: the best response against the middle of the ranking."""

from typing import Literal

import polars as pl

from pairwright.assets.pairing.strategies.base import Strategy, beside, best_of


class BestVsMiddle(Strategy):
    """Takes one pair of a prompt: its best response and the one in the middle of its ranking."""

    strategy: Literal["example-best-vs-middle"] = "example-best-vs-middle"

    def candidates(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """The first of a prompt with the one that half of its responses stand before."""
        place = pl.int_range(pl.len()).over("prompt_id")
        return beside(best_of(ranked), ranked.filter(place == pl.len().over("prompt_id") // 2))
