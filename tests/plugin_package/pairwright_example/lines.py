"""A format: the chosen answers alone, for whoever wants to look at them."""

from typing import ClassVar, Literal

import polars as pl

from pairwright.assets.publishing.formats.base import Format, last_text


class Lines(Format):
    """`text`, the chosen side's."""

    kind: Literal["example-lines"] = "example-lines"
    ending: ClassVar[Literal["parquet", "jsonl"]] = "jsonl"

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """One text a pair."""
        return table.select(last_text("chosen").alias("text"))

    def loses(self) -> list[str]:
        """Nearly everything."""
        return ["prompts, rejected sides, ids and scores"]
