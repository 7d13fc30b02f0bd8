"""A judge: how many questions a response asks back."""

from collections.abc import Iterator
from typing import Literal

import polars as pl

from pairwright.judges.base import Batch, Judge


class Questions(Judge):
    """Scores a response by the questions in it, fewer being better."""

    kind: Literal["example-questions"] = "example-questions"

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """One row a response; never fails."""
        asked = pl.col("text").str.count_matches(r"\?").cast(pl.Float64)
        yield work.responses.select("prompt_id", "response_id", criterion=pl.lit("questions"), score=-asked)
