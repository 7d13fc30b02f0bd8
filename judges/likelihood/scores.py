"""From likelihoods to verdicts: what judges over log-probabilities share, so that each is a few lines."""

from collections.abc import Iterator

import polars as pl

from pairwright.judges.base import Batch
from pairwright.models.local.request import PassRequest, rows_of

SIDES = ["prompt_id", "response_id"]


def side_by_side(work: Batch, **needs: PassRequest) -> pl.DataFrame:
    """One row a response with the columns of each need as `<name>.<column>`, and `failure` and `retry` over all."""
    frame = work.responses.select(SIDES)
    for name, need in needs.items():
        rows = rows_of(work.responses, need, work.likelihoods)
        rows = rows.rename({column: f"{name}.{column}" for column in rows.columns if column not in SIDES})
        frame = frame.join(rows, on=SIDES, how="left", maintain_order="left")
    return frame.with_columns(
        failure=pl.coalesce(pl.col(f"{name}.failure") for name in needs),
        retry=pl.any_horizontal(pl.col(f"{name}.retry") for name in needs),
    )


def total(name: str, *, count_end: bool) -> pl.Expr:
    """Summed log-probability of a response under the need of that name, in nats."""
    end = pl.col(f"{name}.end_logprob").fill_null(0.0) if count_end else pl.lit(0.0)
    return pl.col(f"{name}.logprob") + end


def gain(name: str, over: str, *, count_end: bool) -> pl.Expr:
    """Summed log-probability of a response under one need less that under another, in nats.

    The end counts where both models have a token for it: otherwise one side would pay for what the other has not.
    """
    ends = (pl.col(f"{name}.end_logprob") - pl.col(f"{over}.end_logprob")).fill_null(0.0)
    text = pl.col(f"{name}.logprob") - pl.col(f"{over}.logprob")
    return text + ends if count_end else text


def length(name: str, *, count_end: bool) -> pl.Expr:
    """Tokens that `total` sums over."""
    ends = pl.col(f"{name}.end_logprob").is_not_null().cast(pl.UInt32) if count_end else pl.lit(0, pl.UInt32)
    return (pl.col(f"{name}.tokens") + ends).cast(pl.Float64)


def verdicts(frame: pl.DataFrame, **criteria: pl.Expr) -> Iterator[pl.DataFrame]:
    """Verdict rows for each criterion; where there is a failure, no score but the reason."""
    fine = pl.col("failure").is_null()
    for criterion, score in criteria.items():
        number = pl.when(fine).then(score)
        nothing = pl.when(fine & (score.is_null() | score.is_nan())).then(pl.lit("the response has no token to score"))
        yield frame.select(
            *SIDES,
            criterion=pl.lit(criterion.replace("_", "-")),
            score=pl.when(number.is_not_nan()).then(number),
            failure=pl.coalesce("failure", nothing),
            retry=pl.col("retry"),
        )
