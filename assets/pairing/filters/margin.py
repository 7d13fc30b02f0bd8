"""Margin: how far apart the two sides are, by the jury or by one judge."""

from typing import Annotated, Literal

import polars as pl
from pydantic import Field

from pairwright.assets.pairing.filters.base import Bounds, Filter


class Margin(Filter):
    """Keeps pairs with a clear winner."""

    kind: Literal["margin"] = "margin"
    minimum: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Least difference between chosen and rejected."""
    by: str | None = None
    """A judge, for the difference of its scores; otherwise the difference of the jury's utilities."""

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """Chosen minus rejected."""
        if self.by is None:
            return pairs.get_column("margin")
        chosen, rejected = pairs.get_column("scores_chosen"), pairs.get_column("scores_rejected")
        return chosen.struct.field(self.by) - rejected.struct.field(self.by)

    def bounds(self) -> Bounds:
        """From the minimum up."""
        return Bounds(minimum=self.minimum)
