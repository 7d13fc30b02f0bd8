"""Finish reason: whether a side ended by itself or was cut off."""

from typing import ClassVar, Literal

import polars as pl

from pairwright.assets.releasing.pair_columns.base import PairColumn

SIDES = ("chosen", "rejected")


class FinishReason(PairColumn):
    """Why each side ended, as its server said (`stop`, `length`): a struct of `chosen` and `rejected`; null for
    responses that a source gave."""

    kind: Literal["finish-reason"] = "finish-reason"
    reads: ClassVar[tuple[str, ...]] = ("responses.finish_reason",)
    dtype = pl.Struct(dict.fromkeys(SIDES, pl.String))

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """Both sides."""
        reasons = [pl.col(f"{side}_finish_reason").alias(side) for side in SIDES]
        return pairs.select(pl.struct(reasons).alias("value")).to_series()
