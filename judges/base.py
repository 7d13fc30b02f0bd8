"""The interface of a judge, and the helpers that turn its answers into rows of the scores table."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from pairwright.schemas.kinds import Kind


class Batch(NamedTuple):
    """Whole prompts with the responses that want a verdict."""

    prompts: pl.DataFrame
    """Rows of the prompts table, sorted by prompt_id."""
    responses: pl.DataFrame
    """Rows of the responses table for these prompts, sorted by (prompt_id, response_id)."""


class Judge(Kind, family="judge"):
    """Scores responses. One file and one class a judge; its fields are its options.

    `judge` yields frames with prompt_id, response_id, criterion, score and, where it has them, failure, retry,
    rationale, raw and cost_usd, as soon as it has them, so that the journal can keep up. A response that it cannot
    score gets a row with a null score and a failure; `retry` says whether asking again could help.
    """

    @abstractmethod
    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        """Verdicts on `work.responses`, in any order."""


def cannot(responses: pl.DataFrame, criterion: str, reason: str | pl.Expr) -> pl.DataFrame:
    """Rows that say why these responses get no score, now or ever: a fact of their content, not an accident."""
    failure = pl.lit(reason) if isinstance(reason, str) else reason
    return responses.select(
        "prompt_id",
        "response_id",
        criterion=pl.lit(criterion),
        score=pl.lit(None, pl.Float64),
        failure=failure,
        retry=pl.lit(False),
    )
