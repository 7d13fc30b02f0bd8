"""The jury: one utility per response, from exactly rounded scales, and no rank where a vote is missing."""

import math
import random
import statistics
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pairwright.judges.juries.mean_z import MeanZ, scale_of
from pairwright.judges.juries.weighted_mean import Scale, weighted_mean

FINITE = st.floats(-1e6, 1e6)


def scored(rows: list[tuple[str, str, dict[str, float | str | None]]], judges: list[str]) -> pl.DataFrame:
    """A judge's value is its score, or the reason why there is none."""
    data: dict[str, list[Any]] = {"prompt_id": [p for p, _, _ in rows], "response_id": [r for _, r, _ in rows]}
    for judge in judges:
        values = [answers.get(judge) for _, _, answers in rows]
        data[judge] = [value if isinstance(value, float) else None for value in values]
        data[f"{judge}!"] = [value if isinstance(value, str) else None for value in values]
    schema = {"prompt_id": pl.String, "response_id": pl.String}
    for judge in judges:
        schema |= {judge: pl.Float64, f"{judge}!": pl.String}
    return pl.DataFrame(data, schema=schema)


def jury(
    rows: list[tuple[str, str, dict[str, float | str | None]]], weights: dict[str, float] | None = None
) -> dict[str, dict[str, Any]]:
    judges = list(dict.fromkeys(name for _, _, answers in rows for name in answers))
    frame = scored(rows, judges)
    state = MeanZ().fit((name, frame.select(score=name)) for name in judges)
    made = MeanZ().combine(frame, state, weights or {})
    return {row["response_id"]: row for row in made.iter_rows(named=True)}


def test_scale_of_nothing_and_of_one() -> None:
    assert scale_of(np.array([])) == Scale(0.0, 0.0)
    assert scale_of(np.array([3.5])) == Scale(3.5, 0.0)


@given(st.lists(FINITE, min_size=1, max_size=60), st.randoms())
def test_scale_has_the_same_bits_in_whatever_order(scores: list[float], shuffler: random.Random) -> None:
    first = scale_of(np.array(scores))
    shuffler.shuffle(scores)
    assert scale_of(np.array(scores)) == first


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60))
def test_scale_is_mean_and_population_deviation(scores: list[float]) -> None:
    scale = scale_of(np.array(scores))
    assert scale.mean == pytest.approx(statistics.fmean(scores), abs=1e-9)
    assert scale.sd == pytest.approx(statistics.pstdev(scores), abs=1e-9)


def test_utility_is_the_weighted_mean_of_z_scores() -> None:
    """By hand: a has mean 1 and deviation 1, b mean 10 and deviation 10; weights 3 and 1."""
    rows: list[Any] = [("p", "r1", {"a": 0.0, "b": 20.0}), ("p", "r2", {"a": 2.0, "b": 0.0})]
    found = jury(rows, {"a": 3.0, "b": 1.0})
    assert found["r1"]["utility"] == (3 * -1 + 1 * 1) / 4
    assert found["r2"]["utility"] == (3 * 1 + 1 * -1) / 4
    assert (found["r2"]["rank"], found["r1"]["rank"]) == (1, 2)
    assert found["r1"]["z"] == {"a": -1.0, "b": 1.0}
    assert found["r1"]["scores"] == {"a": 0.0, "b": 20.0}
    # judge b puts them the other way round, one place off, with a quarter of the weight
    assert found["r1"]["agreement"] == found["r2"]["agreement"] == 0.75


NEAR = [0.1, 0.1 + 1e-17, 1e-20, 2e-20, 2e-20, 0.0, 5e-324, 0.9]


@pytest.mark.parametrize("weight", [1.0, 0.3, 3.0])
def test_scores_that_a_z_score_cannot_tell_apart_keep_the_order_of_the_one_judge(weight: float) -> None:
    rows: list[Any] = [("p", f"r{i}", {"a": score}) for i, score in enumerate(NEAR)]
    rows += [("q", "q0", {"a": 0.7}), ("q", "q1", {"a": 0.2})]
    found = jury(rows, {"a": weight})
    assert len({found[f"r{i}"]["z"]["a"] for i in (2, 3, 5, 6)}) == 1, "their z-scores are one number"
    for i, one in enumerate(NEAR):
        for j, other in enumerate(NEAR):
            assert (one > other) == (found[f"r{i}"]["utility"] > found[f"r{j}"]["utility"]), (one, other)
        assert found[f"r{i}"]["rank"] == 1 + sum(other > one for other in NEAR)
        assert found[f"r{i}"]["agreement"] == 1.0


def test_where_the_others_tie_the_one_that_differs_decides_and_two_that_differ_do_not() -> None:
    rows: list[Any] = [
        ("p", "p1", {"a": 1e-20, "b": 3.0}),
        ("p", "p2", {"a": 2e-20, "b": 3.0}),
        ("q", "q1", {"a": 1e-20, "b": 2e-20}),
        ("q", "q2", {"a": 2e-20, "b": 1e-20}),
        ("o", "o1", {"a": 5.0, "b": 1.0}),
        ("o", "o2", {"a": 3.0, "b": 7.0}),
    ]
    found = jury(rows)
    assert found["p1"]["utility"] < found["p2"]["utility"]
    assert found["q1"]["utility"] == found["q2"]["utility"]


@given(st.data())
def test_a_row_has_the_same_bits_whatever_rows_are_beside_it(data: st.DataObject) -> None:
    """Also where a judge abstains in some prompts, so that some frames have one weight in all rows."""
    rows: list[Any] = []
    for p in range(data.draw(st.integers(1, 6))):
        sits = data.draw(st.lists(st.booleans(), min_size=3, max_size=3))
        for r in range(data.draw(st.integers(1, 3))):
            values = [data.draw(st.floats(-100, 100)) if one else "no reference" for one in sits]
            rows.append((f"p{p}", f"p{p}r{r}", dict(zip("abc", values, strict=True))))
    frame, scales = scored(rows, ["a", "b", "c"]), {"a": Scale(0.1, 2.987), "b": Scale(-3.0, 7.1), "c": Scale(0.0, 0.7)}
    weights = {"a": 2.0, "b": 0.3, "c": 1.1}
    whole = weighted_mean(frame, scales, weights)
    pieces = [weighted_mean(one, scales, weights) for one in frame.partition_by("prompt_id", maintain_order=True)]
    assert pl.concat(pieces).equals(whole)


def test_equal_scores_tie_and_share_the_better_rank() -> None:
    rows: list[Any] = [("p", f"r{i}", {"a": score}) for i, score in enumerate([0.1, 0.3, 0.3, 0.2])]
    ranks = {name: row["rank"] for name, row in jury(rows).items()}
    assert ranks == {"r1": 1, "r2": 1, "r3": 3, "r0": 4}


def test_ranks_follow_the_scores_in_all_permutations_of_four() -> None:
    """Reading ranks as positions gets the best wrong in 12 of 24."""
    import itertools

    for order in itertools.permutations([1.0, 2.0, 3.0, 4.0]):
        rows: list[Any] = [("p", f"r{i}", {"a": score}) for i, score in enumerate(order)]
        found = jury(rows)
        assert [found[f"r{i}"]["rank"] for i in range(4)] == [int(5 - score) for score in order]


def test_a_judge_that_scored_no_response_of_a_prompt_abstains_there() -> None:
    rows: list[Any] = [
        ("p", "p1", {"a": 1.0, "b": "no reference"}),
        ("p", "p2", {"a": 2.0, "b": "no reference"}),
        ("q", "q1", {"a": 1.0, "b": 5.0}),
        ("q", "q2", {"a": 2.0, "b": 9.0}),
    ]
    found = jury(rows)
    assert [found[name]["rank"] for name in ("p1", "p2", "q1", "q2")] == [2, 1, 2, 1]
    assert found["p1"]["unranked"] is None
    assert found["p1"]["utility_se"] is None
    assert found["q1"]["utility_se"] is not None


def test_a_failure_leaves_its_response_unranked_with_the_reason_and_the_others_ranked() -> None:
    """Failures are neither 0, nor 1, nor −1."""
    rows: list[Any] = [
        ("p", "r1", {"a": -9.0, "b": -8.0}),
        ("p", "r2", {"a": 2.0, "b": "refused"}),
        ("p", "r3", {"a": 3.0, "b": 1.0}),
    ]
    found = jury(rows)
    assert (found["r2"]["utility"], found["r2"]["rank"], found["r2"]["agreement"]) == (None, None, None)
    assert found["r2"]["unranked"] == "b: refused"
    assert (found["r3"]["rank"], found["r1"]["rank"]) == (1, 2)


def test_all_failed_is_unranked_and_no_crash() -> None:
    found = jury([("p", "r1", {"a": "refused"}), ("p", "r2", {"a": None})])
    assert [found[name]["unranked"] for name in ("r1", "r2")] == ["a: refused", "a: no verdict"]
    assert found["r1"]["utility"] is None


def test_weight_zero_is_a_column_without_a_vote() -> None:
    rows: list[Any] = [("p", "r1", {"a": 1.0, "b": 9.0}), ("p", "r2", {"a": 2.0, "b": "failed"})]
    found = jury(rows, {"b": 0.0})
    assert (found["r2"]["rank"], found["r1"]["rank"]) == (1, 2)
    assert found["r1"]["scores"]["b"] == 9.0
    assert found["r2"]["unranked"] is None


def test_a_judge_without_spread_says_nothing() -> None:
    rows: list[Any] = [
        ("p", "r1", {"a": 1.0, "b": 0.1}),
        ("p", "r2", {"a": 2.0, "b": 0.1}),
        ("q", "q1", {"a": 2.0, "b": 0.1}),
    ]
    found = jury(rows)
    assert found["r1"]["utility"] < found["r2"]["utility"]
    assert found["r2"]["utility"] == found["q1"]["utility"]


ANSWER = st.one_of(st.floats(-100, 100), st.integers(0, 3).map(float), st.just("failed"))


@given(
    st.lists(st.tuples(st.integers(0, 3), ANSWER, ANSWER, ANSWER), min_size=1, max_size=24),
    st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.5]), min_size=3, max_size=3).filter(any),
)
def test_jury_against_a_plain_rendering(table: list[Any], weights: list[float]) -> None:
    names = ["a", "b", "c"]
    given_weights = dict(zip(names, weights, strict=True))
    rows: list[Any] = [
        (f"p{p}", f"r{i}", dict(zip(names, answers, strict=True))) for i, (p, *answers) in enumerate(table)
    ]
    found = jury(rows, given_weights)
    voting = [name for name in names if given_weights[name] > 0]
    scales = {n: scale_of(np.array([r[2][n] for r in rows if isinstance(r[2][n], float)])) for n in names}
    for prompt, response, answers in rows:
        peers = [r for r in rows if r[0] == prompt]
        sitting = [n for n in voting if any(isinstance(r[2][n], float) for r in peers)]
        row = found[response]
        if not sitting or any(not isinstance(answers[n], float) for n in sitting):
            assert row["utility"] is None
            assert row["rank"] is None
            assert row["unranked"].endswith(": failed")
            continue
        z = {n: (answers[n] - scales[n].mean) / scales[n].sd if scales[n].sd > 0 else 0.0 for n in sitting}
        utility = sum(given_weights[n] * z[n] for n in sitting) / sum(given_weights[n] for n in sitting)
        assert row["utility"] == pytest.approx(utility, abs=1e-9)
        assert 0 <= row["agreement"] <= 1
        assert (row["utility_se"] is None) == (len(sitting) < 2)
        better = [found[r[1]]["utility"] for r in peers if found[r[1]]["utility"] is not None]
        assert row["rank"] == 1 + sum(one > row["utility"] for one in better)
        assert math.isfinite(row["utility"])
