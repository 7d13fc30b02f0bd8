"""A pair column: the script that a prompt is written in."""

from typing import ClassVar, Literal

import polars as pl

from pairwright.assets.releasing.pair_columns.base import PairColumn


class Script(PairColumn):
    """`latin`, `han` or `other`: what the last turn of the prompt is mostly written in."""

    kind: Literal["example-script"] = "example-script"
    reads: ClassVar[tuple[str, ...]] = ("prompts.messages",)
    dtype = pl.String

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """By the letters of each script; `other` where neither has one."""
        text = pl.col("messages").list.last().struct.field("content")
        latin, han = text.str.count_matches(r"\p{Latin}"), text.str.count_matches(r"\p{Han}")
        script = pl.when(latin + han == 0).then(pl.lit("other")).when(latin >= han).then(pl.lit("latin"))
        return pairs.select(script.otherwise(pl.lit("han")).alias("script")).to_series()
