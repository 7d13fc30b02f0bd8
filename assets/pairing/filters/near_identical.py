"""Near-identical sides: a pair that differs by a few letters teaches little and is often mislabelled."""

from typing import Annotated, ClassVar, Literal

import numpy as np
import polars as pl
from pydantic import Field

from pairwright.assets.pairing.filters.base import Bounds, Filter


class NearIdentical(Filter):
    """Keeps pairs whose texts differ enough: Levenshtein distance in characters over the longer length, 0 to 1."""

    kind: Literal["near-identical"] = "near-identical"
    minimum: Annotated[float, Field(ge=0, le=1)] = 0.1
    """Least normalised edit distance."""
    needs_texts: ClassVar[bool] = True

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """Distance of the two texts; 0 for two empty ones."""
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cpdist

        chosen, rejected = pairs.get_column("chosen").to_list(), pairs.get_column("rejected").to_list()
        distances = cpdist(chosen, rejected, scorer=Levenshtein.normalized_distance, dtype=np.float64, workers=-1)
        return pl.Series("value", distances, pl.Float64)

    def bounds(self) -> Bounds:
        """From the minimum up."""
        return Bounds(minimum=self.minimum)
