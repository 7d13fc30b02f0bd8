"""Rankings: whole lists, best first, with soft targets."""

import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.assets.pairing.rank import rankings
from pairwright.schemas.ids import digest

UTILITY = st.one_of(st.none(), st.sampled_from([0.0, 1.0]), st.floats(-50, 50))


def preferences(prompts: list[list[float | None]]) -> pl.DataFrame:
    rows = [
        (digest("p", str(p)), digest("r", str(p), str(r)), utility)
        for p, utilities in enumerate(prompts)
        for r, utility in enumerate(utilities)
    ]
    schema = {"prompt_id": pl.String, "response_id": pl.String, "utility": pl.Float64}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.with_columns(rank=pl.col("utility").rank("min", descending=True).over("prompt_id").cast(pl.UInt32))


@given(st.lists(st.lists(UTILITY, max_size=6), min_size=1, max_size=4), st.sampled_from([0.1, 1.0, 7.0]))
def test_rankings_against_a_plain_rendering(prompts: list[list[float | None]], temperature: float) -> None:
    found = {row["prompt_id"]: row for row in rankings(preferences(prompts), temperature).iter_rows(named=True)}
    for p, utilities in enumerate(prompts):
        ranked = [(digest("r", str(p), str(r)), one) for r, one in enumerate(utilities) if one is not None]
        ranked.sort(key=lambda item: (-item[1], item[0]))
        if len(ranked) < 2:
            assert digest("p", str(p)) not in found
            continue
        row = found[digest("p", str(p))]
        assert row["response_ids"] == [response for response, _ in ranked]
        assert row["scores"] == [score for _, score in ranked]
        assert row["ranks"] == [1 + sum(other > score for _, other in ranked) for _, score in ranked]
        weights = [math.exp((score - ranked[0][1]) / temperature) for _, score in ranked]
        assert row["soft_targets"] == pytest.approx([weight / sum(weights) for weight in weights])
        assert sum(row["soft_targets"]) == pytest.approx(1)


def test_soft_targets_of_a_known_case() -> None:
    """Softmax of (1, 0) at temperature 1: e / (1 + e) = 0.731059."""
    row = rankings(preferences([[0.0, 1.0]]), 1.0).row(0, named=True)
    assert row["soft_targets"] == pytest.approx([0.731059, 0.268941], abs=1e-6)


def test_rows_do_not_depend_on_the_order_of_the_input() -> None:
    frame = preferences([[0.0, 1.0, 1.0, None], [3.0, 2.0], [1.0]])
    assert rankings(frame.reverse(), 1.0).equals(rankings(frame, 1.0))
