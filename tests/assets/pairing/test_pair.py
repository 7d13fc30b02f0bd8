"""Pairs: every strategy against a slow rendering of it, filters that annotate, and a funnel that adds up."""

import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from helpers import build, data_files, recipe_of, table, wide, write_jsonl
from hypothesis import given
from hypothesis import strategies as st

from pairwright.assets.pairing.filters.base import Bounds, Cutoff, Filter
from pairwright.assets.pairing.filters.length_ratio import LengthRatio
from pairwright.assets.pairing.filters.margin import Margin
from pairwright.assets.pairing.filters.near_identical import NearIdentical
from pairwright.assets.pairing.pair import judged
from pairwright.assets.pairing.same_answer import same_answers
from pairwright.assets.pairing.sides import annotate
from pairwright.assets.pairing.strategies.base import Strategy
from pairwright.assets.pairing.strategies.best_vs_worst import BestVsWorst
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError, RecipeError
from pairwright.schemas.ids import digest
from pairwright.schemas.kinds import kinds
from pairwright.schemas.recipe import Recipe

STRATEGIES = ["best-vs-worst", "best-vs-random", "best-vs-random-non-max", "adjacent", "all"]
UTILITY = st.one_of(st.none(), st.sampled_from([-1.0, 0.0, 0.5, 2.0]), st.floats(-3, 3))
PROMPTS = st.lists(st.lists(UTILITY, max_size=6), min_size=1, max_size=5)


def preferences(prompts: list[list[float | None]]) -> pl.DataFrame:
    rows = [
        (digest("p", str(p)), digest("r", str(p), str(r)), utility)
        for p, utilities in enumerate(prompts)
        for r, utility in enumerate(utilities)
    ]
    schema = {"prompt_id": pl.String, "response_id": pl.String, "utility": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").sort("response_id")


def lists(frame: pl.DataFrame) -> dict[str, list[tuple[str, float]]]:
    """Per prompt its ranked responses, best first, ties by id."""
    found: dict[str, list[tuple[str, float]]] = {}
    for prompt, response, utility in frame.drop_nulls("utility").iter_rows():
        found.setdefault(prompt, []).append((response, utility))
    return {prompt: sorted(one, key=lambda item: (-item[1], item[0])) for prompt, one in found.items()}


def drawn(frame: pl.DataFrame, **options: Any) -> list[tuple[str, str, str]]:
    made = kinds("strategy")[options["strategy"]](**options)
    assert isinstance(made, Strategy)
    return made.draw(frame).rows()


@given(PROMPTS)
def test_best_vs_worst_adjacent_and_all_against_plain_renderings(prompts: list[list[float | None]]) -> None:
    frame = preferences(prompts)
    expected: dict[str, list[tuple[str, str, str]]] = {"best-vs-worst": [], "adjacent": [], "all": []}
    for prompt, ranked in lists(frame).items():
        if ranked[0][1] > ranked[-1][1]:
            expected["best-vs-worst"].append((prompt, ranked[0][0], ranked[-1][0]))
        for better, worse in pairwise(ranked):
            if better[1] > worse[1]:
                expected["adjacent"].append((prompt, better[0], worse[0]))
        expected["all"] += [(prompt, a[0], b[0]) for a in ranked for b in ranked if a[1] > b[1]]
    for strategy, pairs in expected.items():
        assert drawn(frame, strategy=strategy) == sorted(pairs)


@given(PROMPTS, st.integers(0, 2**32 - 1))
def test_random_strategies_draw_what_they_may(prompts: list[list[float | None]], seed: int) -> None:
    frame = preferences(prompts)
    ranked = lists(frame)
    utility = {response: value for one in ranked.values() for response, value in one}
    any_other = drawn(frame, strategy="best-vs-random", seed=seed)
    non_max = drawn(frame, strategy="best-vs-random-non-max", seed=seed)
    for prompt, chosen, rejected in any_other + non_max:
        assert chosen == ranked[prompt][0][0]
        assert utility[chosen] > utility[rejected]
    assert {prompt for prompt, _, _ in non_max} == {p for p, one in ranked.items() if one[0][1] > one[-1][1]}
    assert {prompt for prompt, _, _ in any_other} <= {prompt for prompt, _, _ in non_max}


@given(PROMPTS, st.sampled_from(STRATEGIES), st.sampled_from([0.0, 0.5, 2.0]), st.none() | st.integers(1, 3))
def test_never_identical_sides_never_chosen_not_better(
    prompts: list[list[float | None]], strategy: str, minimum: float, most: int | None
) -> None:
    frame = preferences(prompts)
    utility = dict(frame.select("response_id", "utility").iter_rows())
    pairs = drawn(frame, strategy=strategy, minimum_margin=minimum, max_per_prompt=most)
    for _, chosen, rejected in pairs:
        assert chosen != rejected
        assert utility[chosen] > utility[rejected]
        assert utility[chosen] - utility[rejected] >= minimum
    assert len(set(pairs)) == len(pairs)
    assert max(Counter(prompt for prompt, _, _ in pairs).values(), default=0) <= (most or 99)
    assert pairs == sorted(pairs)


@given(PROMPTS, st.integers(1, 4))
def test_max_per_prompt_keeps_the_widest_margins_ties_by_id(prompts: list[list[float | None]], most: int) -> None:
    frame = preferences(prompts)
    utility = dict(frame.select("response_id", "utility").iter_rows())
    expected = []
    everything = drawn(frame, strategy="all")
    for prompt in {prompt for prompt, _, _ in everything}:
        own = [pair for pair in everything if pair[0] == prompt]
        own.sort(key=lambda pair: (-(utility[pair[1]] - utility[pair[2]]), pair))
        expected += own[:most]
    assert drawn(frame, strategy="all", max_per_prompt=most) == sorted(expected)


@given(PROMPTS, st.sampled_from(STRATEGIES), st.randoms())
def test_a_draw_does_not_depend_on_the_order_or_on_other_prompts(
    prompts: list[list[float | None]], strategy: str, shuffler: Any
) -> None:
    frame = preferences(prompts)
    pairs = drawn(frame, strategy=strategy, seed=7)
    assert (
        drawn(frame.sample(fraction=1, shuffle=True, seed=shuffler.randrange(99)), strategy=strategy, seed=7) == pairs
    )
    alone = [pair for _, one in frame.group_by("prompt_id") for pair in drawn(one, strategy=strategy, seed=7)]
    assert sorted(alone) == pairs


def test_random_draws_reach_every_candidate_about_equally_often() -> None:
    """Elsewhere "max vs random" always picks index 0 or 1."""
    frame = preferences([[9.0, 1.0, 2.0, 3.0, 4.0, 5.0]] * 3000)
    place = {digest("r", str(p), str(r)): r for p in range(3000) for r in range(6)}
    for strategy in ("best-vs-random", "best-vs-random-non-max"):
        counts = Counter(place[rejected] for _, _, rejected in drawn(frame, strategy=strategy))
        assert set(counts) == {1, 2, 3, 4, 5}
        expected = 3000 / 5  # chi-square with 4 degrees of freedom: above 23.5 in one of 10,000 fair draws
        assert sum((count - expected) ** 2 / expected for count in counts.values()) < 23.5


def test_seeds_give_other_draws_and_the_same_seed_the_same() -> None:
    frame = preferences([[9.0, 1.0, 2.0, 3.0, 4.0, 5.0]] * 200)
    draws = [drawn(frame, strategy="best-vs-random", seed=seed) for seed in (0, 0, 1, 2)]
    assert draws[0] == draws[1]
    share = sum(a == b for a, b in zip(draws[0], draws[2], strict=True)) / 200
    assert 0.08 < share < 0.35, "two seeds agree about as often as chance"
    assert draws[2] != draws[3]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_equal_scores_make_no_pair(strategy: str) -> None:
    assert drawn(preferences([[1.0, 1.0, 1.0], [2.0], []]), strategy=strategy) == []


def test_a_tie_at_the_top_pairs_with_the_strictly_worse_only() -> None:
    frame = preferences([[2.0, 2.0, 1.0]])
    low = digest("r", "0", "2")
    best = min(digest("r", "0", "0"), digest("r", "0", "1"))
    assert [pair[1:] for pair in drawn(frame, strategy="best-vs-random-non-max")] == [(best, low)]
    assert len(drawn(frame, strategy="all")) == 2


def candidates(values: list[float | None]) -> pl.DataFrame:
    ids = sorted(digest("r", str(i)) for i in range(2 * len(values)))
    return pl.DataFrame(
        {
            "pair_id": ids[: len(values)],
            "prompt_id": ids[: len(values)],
            "chosen_id": ids[: len(values)],
            "rejected_id": ids[len(values) :],
            "filter_margin": values,
        },
        schema_overrides={"filter_margin": pl.Float64},
    ).with_columns(
        score_chosen=pl.lit(1.0),
        score_rejected=pl.lit(0.0),
        margin=pl.lit(1.0),
        strength=pl.lit(1.0),
        label_confidence=pl.lit(1.0),
        weight=pl.lit(1.0),
    )


@pytest.mark.parametrize(
    ("rows", "fraction", "kept"),
    [(370, 0.05, 19), (100, 0.15, 15), (100, 0.07, 7), (10, 0.3, 3), (3, 1.0, 3), (7, 1e-9, 1), (1000, 0.001, 1)],
)
def test_keep_fraction_is_exact_and_rounds_up(rows: int, fraction: float, kept: int) -> None:
    """5 % of 370 is 19, as in the experiments of "Unintentional Unalignment" (CHES)."""
    values: list[float | None] = [float(i % 7) for i in range(rows)]
    one = Margin(keep_fraction=fraction)
    frame = candidates(values)
    cutoff = one.fit(frame.select("pair_id", value="filter_margin"))
    made = judged(frame, [one], {"margin": cutoff})
    assert made.filter("kept").height == kept
    best = sorted(zip(values, frame["pair_id"], strict=True), key=lambda item: (-item[0], item[1]))[:kept]  # type: ignore[operator]
    assert set(made.filter("kept")["pair_id"]) == {identifier for _, identifier in best}


def test_a_pair_without_a_value_stays_or_goes_as_the_recipe_says() -> None:
    made = judged(candidates([None, 2.0, 0.5]), [Margin(minimum=1)], {})
    assert made.get_column("reason").to_list() == [None, None, "margin 0.5 is below the minimum 1"]
    made = judged(candidates([None, 2.0, 0.5]), [Margin(minimum=1, unknown="drop")], {})
    assert made.get_column("reason").to_list() == ["margin has no value", None, "margin 0.5 is below the minimum 1"]
    one = Margin(keep_fraction=0.5)
    assert one.fit(candidates([None]).select("pair_id", value="filter_margin")) is None
    cutoff = one.fit(candidates([None, 1.0, 2.0]).select("pair_id", value="filter_margin"))
    made = judged(candidates([None, 1.0, 2.0]), [one], {"margin": cutoff})
    assert made.get_column("kept").to_list() == [True, False, True], "half of those with a value, and the other"


class Odd(Filter):
    """A filter of one's own, whose arithmetic goes wrong on some pairs."""

    kind: Literal["test-odd"] = "test-odd"

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        return pl.Series([math.nan if i % 3 == 0 else 1.0 for i in range(pairs.height)])

    def bounds(self) -> Bounds:
        return Bounds(minimum=0.5)


Recipe.model_rebuild(force=True)  # so that recipes may name the filter above


@pytest.mark.parametrize("unknown", ["keep", "drop"])
def test_a_value_that_is_no_number_is_none_and_the_funnel_and_card_count_it(tmp_path: Path, unknown: str) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(30))
    recipe = recipe_of(tmp_path, "rows.jsonl", filters=[{"kind": "test-odd", "unknown": unknown}], shards=1)
    made = build(recipe, tmp_path / "data")
    pairs = table(Workspace.of(recipe, tmp_path / "data"), "pairs")
    odd = pairs.filter(pl.col("filter_test-odd").is_null())
    assert odd.height == 10
    assert pairs.get_column("filter_test-odd").drop_nulls().is_finite().all()
    assert set(odd.get_column("reason")) == ({None} if unknown == "keep" else {"test-odd has no value"})
    step = next(one for one in made.manifest["funnel"] if one["step"] == "pairs after test-odd")
    assert (step["unknown"], step["left"]) == (10, 30 if unknown == "keep" else 20)
    assert f"| pairs after test-odd | 30 | {step['dropped']} | {step['left']} | 10 |" in (
        (made.path / "README.md").read_text(encoding="utf-8")
    )


class Halving(Filter):
    """A filter that goes by all pairs."""

    kind: Literal["test-halving"] = "test-halving"

    def value(self, pairs: pl.DataFrame) -> pl.Series:
        return pairs.get_column("margin")

    def fit(self, values: pl.DataFrame) -> float:
        return float(values.select(pl.col("value").median()).item())

    def reason(self, value: pl.Expr, state: float) -> pl.Expr:
        return pl.when(value < state).then(pl.lit(f"under {state}"))


Recipe.model_rebuild(force=True)


def test_a_filter_may_go_by_all_pairs_of_all_shards_that_get_to_it(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(40))
    filters = [{"kind": "margin", "minimum": 0.5}, {"kind": "test-halving"}]
    recipe = recipe_of(tmp_path, "rows.jsonl", filters=filters, pairs={"strategy": "all"}, shards=3)
    build(recipe, tmp_path / "data")
    pairs = table(Workspace.of(recipe, tmp_path / "data"), "pairs")
    middle = pairs.filter("kept_margin").get_column("margin").median()
    assert pairs.get_column("kept_test-halving").equals((pairs.get_column("margin") >= middle).alias("x"))
    assert set(pairs.filter("kept_margin").get_column("reason")) == {None, f"under {middle}"}


def test_a_share_beside_a_fit_of_its_own_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"filters\[0\]: test-halving looks at .* leave keep_fraction out"):
        recipe_of(tmp_path, "rows.jsonl", filters=[{"kind": "test-halving", "keep_fraction": 0.5}])


def test_reasons_name_the_value_and_the_bound() -> None:
    one = LengthRatio(minimum=0.5, maximum=2)
    frame = candidates([0.25, 3.0, 0.5, 2.0]).rename({"filter_margin": "filter_length-ratio"})
    assert judged(frame, [one], {}).get_column("reason").to_list() == [
        "length-ratio 0.25 is below the minimum 0.5",
        "length-ratio 3.0 is above the maximum 2",
        None,
        None,
    ]
    share = Margin(keep_fraction=0.25)
    made = judged(candidates([1.0, 2.0, 3.0, 4.0]), [share], {"margin": Cutoff(4.0, "f")})
    assert made.item(0, "reason") == "margin 1.0 is not among the largest 25% (cutoff 4)"


@given(st.text(max_size=20), st.text(max_size=20))
def test_near_identical_is_edits_over_the_longer_length(chosen: str, rejected: str) -> None:
    def edits(a: str, b: str) -> int:
        row = list(range(len(b) + 1))
        for i, x in enumerate(a, start=1):
            before, row[0] = row[0], i
            for j, y in enumerate(b, start=1):
                before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
        return row[-1]

    frame = pl.DataFrame({"chosen": [chosen], "rejected": [rejected]})
    longest = max(len(chosen), len(rejected))
    expected = edits(chosen, rejected) / longest if longest else 0.0
    assert NearIdentical().value(frame).to_list() == [pytest.approx(expected)]


def test_length_ratio_counts_characters_and_an_empty_text_as_one() -> None:
    frame = pl.DataFrame({"chosen": ["ééé", "", ""], "rejected": ["é", "ab", ""]})
    assert LengthRatio().value(frame).to_list() == [3.0, 0.5, 1.0]


def test_filter_values_of_no_pairs_are_none() -> None:
    frame = pl.DataFrame(schema={"chosen": pl.String, "rejected": pl.String, "margin": pl.Float64})
    assert [one.value(frame).len() for one in (NearIdentical(), LengthRatio(), Margin())] == [0, 0, 0]


def test_strength_and_confidence_are_over_the_voting_judges() -> None:
    struct = [{"a": 1.0, "b": 0.0, "c": 5.0}, {"a": 0.0, "b": 0.0, "c": 9.0}]
    sides = (
        preferences([[1.0, 0.0]])
        .sort("utility", descending=True)
        .with_columns(scores=pl.Series(struct), z=pl.Series(struct))
    )
    pairs = annotate(BestVsWorst().draw(sides), sides, ["a", "b"])
    row = pairs.row(0, named=True)
    assert (row["strength"], row["label_confidence"], row["margin"]) == (0.5, 0.75, 1.0)
    assert len(row["pair_id"]) == 24


FILTERS = [
    {"kind": "margin", "minimum": 0.3},
    {"kind": "margin", "name": "best", "keep_fraction": 0.6},
    {"kind": "near-identical", "minimum": 0.2},
    {"kind": "length-ratio", "keep_fraction": 0.5, "name": "longest", "maximum": None},
]


def test_filters_annotate_and_the_funnel_adds_up(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [*wide(80), {"prompt": "alone", "responses": ["one"]}])
    recipe = recipe_of(tmp_path, "rows.jsonl", filters=FILTERS, pairs={"strategy": "all"}, shards=3)
    made = build(recipe, tmp_path / "data")
    pairs = table(Workspace.of(recipe, tmp_path / "data"), "pairs")
    names = ["margin", "best", "near-identical", "longest"]
    assert all(pairs.get_column(f"filter_{name}").null_count() == 0 for name in names), "a value for every candidate"
    steps = made.manifest["funnel"]
    assert [step["entered"] - step["dropped"] for step in steps] == [step["left"] for step in steps]
    assert [step["entered"] for step in steps[3:]] == [step["left"] for step in steps[2:-1]]
    assert (steps[0]["entered"], steps[0]["left"]) == (81, 80)
    assert steps[2]["entered"] == pairs.height
    left = pairs
    for name, step in zip(names, steps[2:6], strict=True):
        after = left.filter(pl.col(f"kept_{name}"))
        assert (step["entered"], step["left"]) == (left.height, after.height)
        if name in {"best", "longest"}:
            fraction = 0.6 if name == "best" else 0.5
            assert after.height == -(-left.height * int(fraction * 10) // 10), "of what the filters before it kept"
            assert (
                after.get_column(f"filter_{name}").min()
                >= left.filter(~pl.col(f"kept_{name}")).get_column(f"filter_{name}").max()
            )  # type: ignore[operator]
        left = after
    assert left.height == pairs.filter("kept").height == steps[-1]["left"]
    released = sum(pl.read_parquet(path).height for path in made.path.glob("pairs/*"))
    assert released == steps[-1]["left"]
    assert pairs.filter(~pl.col("kept")).get_column("reason").null_count() == 0


@pytest.mark.parametrize(
    ("judges", "weights", "expected"),
    [
        (["test-counting", "length"], {}, {"test-counting": 1.0, "length": 0.0}),
        (["test-counting", "length"], {"length": 0.5}, {"test-counting": 1.0, "length": 0.5}),
        (["test-counting", "length"], {"test-counting": 2.0}, {"test-counting": 2.0, "length": 0.0}),
        (["length"], {}, {"length": 1.0}),
        (["test-counting", "length"], {"test-counting": 0}, {"test-counting": 0.0, "length": 1.0}),
    ],
)
def test_length_has_a_vote_where_the_recipe_gives_it_one_or_nobody_else_has(
    tmp_path: Path, judges: list[str], weights: dict[str, float], expected: dict[str, float]
) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(12))
    parts = {"judges": [{"kind": kind} for kind in judges], "jury": {"weights": weights}, "shards": 1}
    recipe = recipe_of(tmp_path, "rows.jsonl", **parts)
    assert recipe.weights == expected
    made = build(recipe, tmp_path / "data")
    for name, weight in expected.items():
        assert f"| {name} | {name} | {weight:g} |" in (made.path / "README.md").read_text(encoding="utf-8")
    preferences = table(Workspace.of(recipe, tmp_path / "data"), "preferences").unnest("scores")
    voters = [name for name, weight in expected.items() if weight]
    if len(voters) == 1:
        orders = preferences.select(
            pl.corr(pl.col("utility").rank().over("prompt_id"), pl.col(voters[0]).rank().over("prompt_id"))
        )
        assert orders.item() == pytest.approx(1.0)
    told = recipe_of(tmp_path, "rows.jsonl", **{**parts, "jury": {"weights": expected}})
    assert data_files(build(told, tmp_path / "told").path) == data_files(made.path)


def test_margin_by_a_judge_reads_its_scores_and_a_wrong_name_is_told(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(20))
    judges = [{"kind": "test-counting"}, {"kind": "length"}]
    good = recipe_of(tmp_path, "rows.jsonl", judges=judges, filters=[{"kind": "margin", "by": "length", "minimum": 1}])
    made = build(good, tmp_path / "data")
    pairs = pl.concat([pl.read_parquet(path) for path in made.path.glob("pairs/*")], how="vertical")
    size = {side: pl.col(side).list.last().struct.field("content").str.len_chars() for side in ("chosen", "rejected")}
    assert pairs.select((pl.col("filter_margin") == size["chosen"].cast(pl.Int64) - size["rejected"]).all()).item()
    with pytest.raises(RecipeError, match="by names 'lenght'; the judges are test-counting, length"):
        recipe_of(tmp_path, "rows.jsonl", judges=judges, filters=[{"kind": "margin", "by": "lenght"}])


def test_no_pair_left_is_an_error_that_shows_where_they_went(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(5))
    recipe = recipe_of(tmp_path, "rows.jsonl", filters=[{"kind": "margin", "minimum": 99}])
    with pytest.raises(PairwrightError, match=r"no pair is left to release \(.*pairs after margin: 0 of 5"):
        build(recipe, tmp_path / "data")
    assert not list((tmp_path / "data").glob("*/releases/v*"))


def test_responses_that_say_the_same_make_no_pair_whatever_was_thought_before() -> None:
    frame = preferences([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]])
    ids = frame.sort("prompt_id", "utility", descending=[False, True]).select("prompt_id", "response_id").rows()
    schema = {"prompt_id": pl.String, "response_id": pl.String}
    said = pl.DataFrame(ids, schema=schema, orient="row").with_columns(
        pl.Series("text", ["yes", "no", "yes", "", "", ""]),
        pl.Series("reasoning", ["so", None, "else", "thought", None, None], pl.String),
        pl.Series("tool_calls", [None, None, None, "[1]", "[2]", "[1]"], pl.String),
    )
    same = same_answers(said.lazy())
    made = kinds("strategy")["all"](strategy="all")
    assert isinstance(made, Strategy)
    alike = {(ids[0][1], ids[2][1]), (ids[3][1], ids[5][1])}
    pairs = {(chosen, rejected) for _, chosen, rejected in made.draw(frame, same).rows()}
    assert pairs == {(chosen, rejected) for _, chosen, rejected in made.draw(frame).rows()} - alike
    assert len(pairs) == 4
    assert same_answers(said.with_columns(reasoning=pl.lit(None, pl.String)).lazy()) is None, "not looked for"
