"""From comparisons to one score for each response: Bradley-Terry strengths within each prompt."""

import polars as pl
import pytest

from pairwright.judges.strengths import strengths


def compare(ids: list[str], wins: list[tuple[int, int, float | None]]) -> pl.DataFrame:
    rows = [("p", ids[a], ids[b], p, None if p is not None else "broken") for a, b, p in wins]
    return pl.DataFrame(
        rows,
        schema={"prompt_id": str, "response_a": str, "response_b": str, "p_a": float, "failure": str},
        orient="row",
    )


def test_strengths_follow_wins_and_leave_out_what_is_not_connected() -> None:
    ids = ["a", "b", "c", "d"]
    responses = pl.DataFrame({"prompt_id": ["p"] * 4, "response_id": ids})
    found = strengths(responses, compare(ids, [(0, 1, 1.0), (1, 2, 1.0), (0, 2, 1.0), (2, 3, None)]))
    a, b, c, d = found.get_column("score").to_list()
    assert a > b > c
    assert d is None
    assert found.get_column("failure").to_list() == [None, None, None, "broken"]
    even = strengths(responses.head(2), compare(ids, [(0, 1, 0.5)]))
    assert even.get_column("score").to_list() == pytest.approx([0.0, 0.0])


def test_strengths_do_not_depend_on_other_prompts() -> None:
    def frame(prompt: str) -> pl.DataFrame:
        return pl.DataFrame({"prompt_id": [prompt] * 3, "response_id": ["a", "b", "c"]})

    one = compare(["a", "b", "c"], [(0, 1, 0.9), (1, 2, 0.8), (0, 2, 0.3)])
    other = compare(["a", "b", "c"], [(0, 1, 1.0), (1, 2, 1.0)]).with_columns(prompt_id=pl.lit("q"))
    alone = strengths(frame("p"), one)
    both = strengths(pl.concat([frame("p"), frame("q")]), pl.concat([one, other]))
    assert both.filter(prompt_id="p").equals(alone)
