"""A filter: what is chosen is not the longer side."""

from typing import ClassVar, Literal

import polars as pl

from pairwright.assets.pairing.filters.base import Bounds, Filter


class Shorter(Filter):
    """How many characters shorter the chosen side is; at least `minimum` of them stay."""

    kind: Literal["example-shorter"] = "example-shorter"
    needs_texts: ClassVar[bool] = True
    minimum: float = 0.0
    """Least difference in characters."""

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """Characters of rejected less those of chosen."""
        size = {side: pl.col(side).str.len_chars().cast(pl.Float64) for side in ("chosen", "rejected")}
        return pairs.select(size["rejected"] - size["chosen"]).to_series()

    def bounds(self) -> Bounds:
        """From the minimum on."""
        return Bounds(self.minimum)
