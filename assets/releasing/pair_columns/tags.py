"""Tags: the labels of a pair's prompt, to train on or look at some of them."""

from typing import ClassVar, Literal

import polars as pl

from pairwright.assets.releasing.pair_columns.base import PairColumn


class Tags(PairColumn):
    """The prompt's tags, as the source has them: a list of texts."""

    kind: Literal["tags"] = "tags"
    reads: ClassVar[tuple[str, ...]] = ("prompts.tags",)
    dtype = pl.List(pl.String)

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        """As they stand."""
        return pairs.get_column("tags")
