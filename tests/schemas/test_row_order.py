"""What stands in for a sort, a join or a look for duplicates says the same as they would."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.schemas.errors import StoreError
from pairwright.schemas.paid_tables import Scores
from pairwright.schemas.row_order import ascends, same_rows
from pairwright.schemas.tables import check, types

KEY = ["a", "b"]
ROWS = st.lists(st.tuples(st.sampled_from("pqr"), st.integers(0, 3)), max_size=6)


def frame(rows: list[tuple[str, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, {"a": pl.String, "b": pl.Int64}, orient="row")


@given(ROWS | ROWS.map(sorted) | ROWS.map(lambda rows: sorted(set(rows))))
def test_rows_ascend_if_they_are_sorted_and_no_key_comes_twice(rows: list[tuple[str, int]]) -> None:
    assert ascends(frame(rows), KEY) == (rows == sorted(set(rows)))


def test_of_a_null_in_the_key_nothing_can_be_said() -> None:
    assert not ascends(pl.DataFrame({"a": ["p", None], "b": [1, 2]}), KEY)
    assert ascends(pl.DataFrame({"a": ["p", "q"], "b": [None, None]}).select("a"), ["a"])


def test_rows_are_the_same_only_in_the_same_order() -> None:
    one, other = frame([("p", 1), ("q", 2)]), frame([("q", 2), ("p", 1)])
    assert same_rows(one, one.with_columns(c=1), KEY)
    assert not same_rows(one, other, KEY)
    assert not same_rows(one, one.head(1), KEY)


def scores(ids: list[str], **columns: object) -> pl.DataFrame:
    row = {"evidence": "", "fingerprint": "f", "criterion": "c", "round": 0, "score": 1.0, "retry": False, **columns}
    nothing = dict.fromkeys(types(Scores))
    rows = [{**nothing, "prompt_id": "a" * 24, "response_id": one * 24, **row} for one in ids]
    return pl.DataFrame(rows, schema=types(Scores))


@pytest.mark.parametrize("ids", ["bb", "cbb", "bcb"])
def test_a_key_that_comes_twice_is_found_in_any_order(ids: str) -> None:
    with pytest.raises(StoreError, match="primary_key"):
        check(scores(list(ids)), Scores)


def test_rows_in_order_are_held_against_every_other_rule() -> None:
    assert check(scores(["b", "c"]), Scores).height == 2
    with pytest.raises(StoreError, match="scored_or_failed"):
        check(scores(["b", "c"], score=None), Scores)
    with pytest.raises(StoreError, match="response_id"):
        check(scores(["b", "c"]).with_columns(response_id=pl.col("response_id").str.head(3)), Scores)
