"""Best against another: a pair of a prompt whose rejected side is not always its worst response."""

from typing import Literal

import polars as pl

from pairwright.assets.pairing.strategies.base import Strategy, beside, best_of, drawn_of, others_than_best


class BestVsRandom(Strategy):
    """Takes one pair of a prompt: its best response and any other, drawn by seed; none where that one ties with the
    best."""

    strategy: Literal["best-vs-random"] = "best-vs-random"

    def candidates(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """First against one of the others."""
        return beside(best_of(ranked), drawn_of(others_than_best(ranked), self.seed))
