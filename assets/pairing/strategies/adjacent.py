"""Adjacent ranks: the finest distinctions that a prompt has to offer."""

from typing import Literal

import polars as pl

from pairwright.assets.pairing.strategies.base import REJECTED, Strategy


class Adjacent(Strategy):
    """Pairs each rank with the next."""

    strategy: Literal["adjacent"] = "adjacent"

    def candidates(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """Each response with the one after it."""
        following = pl.col("response_id", "utility").shift(-1).over("prompt_id")
        return ranked.with_columns(following.name.map(lambda name: REJECTED[name])).drop_nulls("rejected_id")
