"""Judges whose verdicts a source has already: nobody is asked, and nothing is paid for."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import polars as pl

from pairwright.judges.base import Batch, Judge

LABELS, GIVEN_SCORES = "labels", "given_scores"
"""The tables that sources' labels and scores are taken in to."""
NOTHING_SAID = "the source gives no score"
"""The failure of a response that nobody has scored."""


class Given(Judge):
    """A judge that reads what the sources say of responses. Its verdicts are made anew where that changes."""

    given_table: ClassVar[str]
    """Where it lies: one of LABELS and GIVEN_SCORES."""

    @abstractmethod
    def verdicts(self, said: pl.DataFrame, responses: pl.DataFrame) -> pl.DataFrame:
        """Rows of its table of verdicts, in order of their keys, from a shard's rows of `given_table`.

        `responses` has the prompt_id and response_id of all responses.
        """

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Nothing: there is nobody to ask."""
        return iter(())


def as_verdicts(rows: pl.DataFrame, judge: Given, criterion: str) -> pl.DataFrame:
    """With the columns of verdicts that are the same in every row, or that such judges lack.

    What a source says wrongly has failed, and can be tried again once the source is mended; where it says nothing, the
    judge abstains.
    """
    return rows.with_columns(
        evidence=pl.lit(""),
        fingerprint=pl.lit(judge.fingerprint),
        criterion=pl.lit(criterion),
        round=pl.lit(0, pl.UInt16),
        retry=(pl.col("failure") != NOTHING_SAID).fill_null(False),
        rationale=pl.lit(None, pl.String),
        cost_usd=pl.lit(None, pl.Float64),
    )
