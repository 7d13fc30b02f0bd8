"""All pairs: whatever the ranking says."""

from typing import Literal

import polars as pl

from pairwright.assets.pairing.strategies.base import Strategy, beside


class All(Strategy):
    """Takes every pair."""

    strategy: Literal["all"] = "all"

    def candidates(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """Each response with each that is worse."""
        return beside(ranked, ranked).filter(pl.col("utility") > pl.col("utility_rejected"))
