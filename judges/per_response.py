"""From a judge's verdicts to its one score of each response."""

import polars as pl

from pairwright.judges.base import NOT_APPLICABLE, Judge
from pairwright.judges.means import exact_mean
from pairwright.judges.strengths import strengths
from pairwright.schemas.row_order import same_rows


def per_response(judge: Judge, verdicts: pl.LazyFrame, responses: pl.LazyFrame) -> pl.LazyFrame:
    """One score for each of the responses: prompt_id, response_id, score, failure.

    Of comparisons, the Bradley-Terry strength of each response among those of its prompt.
    """
    if judge.asks_about == "pair":
        compared = newest(judge, verdicts).select(*judge.keys, "p_a", "failure")
        return strengths(responses.collect(), compared.collect()).lazy()
    return _mean_of_criteria(judge, verdicts, responses)


def newest(judge: Judge, verdicts: pl.LazyFrame) -> pl.LazyFrame:
    """The verdicts of the newest round on each key and criterion."""
    return verdicts.filter(pl.col("round") == pl.col("round").max().over([*judge.keys, "criterion"]))


def _mean_of_criteria(judge: Judge, verdicts: pl.LazyFrame, responses: pl.LazyFrame) -> pl.LazyFrame:
    """That of its headline criterion, else the mean over its criteria, in the newest round; null, with the reason,
    where one of them failed. A criterion that does not apply has no part in the mean."""
    if (headline := judge.headline()) is not None:
        verdicts = verdicts.filter((pl.col("criterion") == headline) | pl.col("failure").is_not_null())
    rows = verdicts.select(*judge.keys, "criterion", "round", "score", "failure").collect()
    given = responses.collect()
    failed = pl.col("failure").is_not_null() & (pl.col("failure") != NOT_APPLICABLE)
    own = [pl.when(~failed).then("score").alias("score"), pl.col("failure")]
    missing = pl.when(pl.col("score").is_null()).then(pl.col("failure"))
    if same_rows(rows, given, judge.keys):  # one verdict each, which is as it is with most judges
        return given.hstack(rows.select(own).with_columns(failure=missing)).lazy()
    known = newest(judge, rows.lazy()).with_columns(_alone=pl.len().over(judge.keys) == 1)
    several = known.filter(~pl.col("_alone")).group_by(judge.keys)
    means = several.agg(
        score=pl.when(~failed.any()).then(pl.col("score")).drop_nulls(),
        failure=pl.coalesce(pl.col("failure").filter(failed).first(), pl.col("failure").drop_nulls().first()),
    ).with_columns(score=exact_mean(pl.col("score")))
    alone = known.filter("_alone").select(*judge.keys, *own)
    scores = pl.concat([alone, means])  # lists for one number each would cost more than all else
    scores = scores.with_columns(failure=missing)
    return given.lazy().join(scores, on=judge.keys, how="left", maintain_order="left")
