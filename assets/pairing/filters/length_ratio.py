"""Length ratio: a trainer learns length first when one side is always the longer."""

from typing import Annotated, ClassVar, Literal

import polars as pl
from pydantic import Field

from pairwright.assets.pairing.filters.base import Bounds, Filter


class LengthRatio(Filter):
    """Keeps pairs whose chosen text is not out of proportion: characters of chosen over characters of rejected.

    It takes good pairs along with the long ones: on human-labelled pairs, what it left agreed with the labels by 2 to 5
    points less. Read the length bias of a release first, and measure with `evaluate` what this does to yours.
    """

    kind: Literal["length-ratio"] = "length-ratio"
    minimum: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Least ratio; 0.5 drops pairs whose chosen text is under half as long."""
    maximum: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = 2.0
    """Greatest ratio; 2 drops pairs whose chosen text is over twice as long."""
    needs_texts: ClassVar[bool] = True

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """Ratio of the lengths; an empty text counts as one character."""
        size = pl.col("chosen", "rejected").str.len_chars().clip(lower_bound=1)
        sizes = pairs.select(size.cast(pl.Float64))
        return sizes.get_column("chosen") / sizes.get_column("rejected")

    def bounds(self) -> Bounds:
        """Between minimum and maximum."""
        return Bounds(self.minimum, self.maximum)
