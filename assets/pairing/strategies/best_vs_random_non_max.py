"""Best against another that is worse, so that every prompt with two utilities has its pair."""

from typing import Literal

import polars as pl

from pairwright.assets.pairing.strategies.base import Strategy, beside, best_of, drawn_of, others_than_best


class BestVsRandomNonMax(Strategy):
    """Takes one pair of a prompt: its best response and one drawn by seed among the strictly worse."""

    strategy: Literal["best-vs-random-non-max"] = "best-vs-random-non-max"

    def candidates(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """First against one of those below it."""
        worse = others_than_best(ranked).filter(pl.col("utility") < pl.col("best"))
        return beside(best_of(ranked), drawn_of(worse, self.seed))
