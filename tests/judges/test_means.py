"""The one score of several criteria: the same bits whatever rows are beside it and in whatever order they come."""

import random

import polars as pl
from helpers import Counting
from hypothesis import given
from hypothesis import strategies as st

from pairwright.judges.base import NOT_APPLICABLE
from pairwright.judges.per_response import per_response

KEY = ["prompt_id", "response_id"]


def verdicts(responses: int, criteria: int) -> pl.DataFrame:
    chance = random.Random(0)
    rows = [
        {
            "prompt_id": f"p{i // 4}",
            "response_id": f"r{i}",
            "criterion": f"c{c}",
            "round": 0,
            "score": chance.gauss(0, 1),
        }
        for i in range(responses)
        for c in range(criteria)
    ]
    return pl.DataFrame(rows).with_columns(failure=pl.lit(None, pl.String))


def scored(rows: pl.DataFrame) -> pl.DataFrame:
    responses = rows.select(KEY).unique().sort(KEY)
    return per_response(Counting(), rows.lazy(), responses.lazy()).collect()


def test_the_mean_over_criteria_does_not_go_by_the_frame() -> None:
    rows = verdicts(200, 5)
    whole = scored(rows)
    pieces = [scored(one) for one in rows.partition_by("response_id", maintain_order=True)]
    assert pl.concat(pieces).sort(KEY).equals(whole)
    assert scored(rows.sample(fraction=1, shuffle=True, seed=1)).equals(whole)


def test_a_criterion_that_does_not_apply_has_no_part_and_one_that_failed_leaves_no_mean() -> None:
    rows = verdicts(3, 3).with_columns(score=pl.Series([1.0, 2.0, 6.0] * 3))
    failure = [None, None, NOT_APPLICABLE, None, "refused", None, NOT_APPLICABLE, NOT_APPLICABLE, NOT_APPLICABLE]
    rows = rows.with_columns(failure=pl.Series(failure, dtype=pl.String))
    rows = rows.with_columns(score=pl.when(pl.col("failure").is_null()).then("score"))
    found = scored(rows)
    assert found.get_column("score").to_list() == [1.5, None, None]
    assert found.get_column("failure").to_list() == [None, "refused", NOT_APPLICABLE]


@given(st.permutations(range(5)))
def test_verdicts_in_the_order_of_the_responses_count_as_in_any_other(order: list[int]) -> None:
    """Where each response has one verdict, in its place, nothing is joined."""
    responses = pl.DataFrame({"prompt_id": ["p"] * 3 + ["q"] * 2, "response_id": list("abcde")})
    rows = responses.with_columns(
        criterion=pl.lit("c"),
        round=pl.lit(0, pl.UInt16),
        score=pl.Series([1.0, None, None, 4.0, None]),
        failure=pl.Series([None, "refused", NOT_APPLICABLE, "odd", None]),
    )
    judge = Counting()
    found = per_response(judge, rows[order].lazy(), responses.lazy()).collect()
    assert found.equals(per_response(judge, rows.lazy(), responses.lazy()).collect())
    assert found.get_column("score").to_list() == [1.0, None, None, None, None]
