"""Whole lists for listwise objectives: RankDPO, Plackett-Luce, ADPO, listwise reward models."""

from typing import Literal

import polars as pl

from pairwright.assets.publishing.formats.base import Plain, last_text


class Ranking(Plain):
    """All responses of a prompt, best first, with scores, ranks and soft targets."""

    kind: Literal["ranking"] = "ranking"
    aliases = ("listwise", "lipo", "plackett-luce", "rankings")
    table = "rankings"

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """prompt, responses, scores, ranks (1 is best, ties share a rank), soft_targets."""
        texts = pl.col("responses").list.eval(pl.element().list.last().struct.field("content"))
        prompt, responses = (last_text("prompt"), texts) if self.plain else (pl.col("prompt"), pl.col("responses"))
        return table.select(
            prompt,
            responses.alias("responses"),
            "scores",
            pl.col("ranks").list.eval(pl.element().cast(pl.Int64)),
            "soft_targets",
        )

    def loses(self) -> list[str]:
        """Nothing that listwise training reads."""
        return ["pairs and their filters", "ids and policies", *self.shed()]
