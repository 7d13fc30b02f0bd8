"""Pairs: drawn from ranked responses, annotated by every filter, kept or dropped for a stated reason."""

from functools import partial
from typing import Any

import polars as pl

from pairwright.assets.pairing.filters.base import Filter, State, state_from, state_text
from pairwright.assets.pairing.funnel import ADDS_UP, SIDES, UNKNOWN, filters_of, pairs_view
from pairwright.assets.pairing.same_answer import same_answers
from pairwright.assets.pairing.sides import annotate, with_likelihoods, with_texts
from pairwright.assets.pairing.strategies.base import Strategy
from pairwright.assets.stages.basis import Input, Inputs
from pairwright.assets.stages.stage import Derived
from pairwright.assets.storage.store import Workspace, read_table, scan
from pairwright.models.local.request import PassRequest
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Pairs, check

CODE = 3
"""Raised when the same preferences would give other pairs."""
CUTOFFS = "cutoffs"


def pair(recipe: Recipe, workspace: Workspace) -> int:
    """Bring the pairs of all shards up to the preferences and filters; how many shards were made."""
    made = [stage.bring_up(workspace) for stage in pair_stages(recipe)]
    return made[-1].files


def pair_stages(recipe: Recipe) -> list[Derived]:
    """From preferences to pairs; candidates and cutoffs are tables only where a filter looks at the whole data set."""
    filters = filters_of(recipe)
    drawn_from = ["preferences", "responses", *(need.table for need in _needs(recipe))]
    drawn = tuple(map(Input, dict.fromkeys(drawn_from)))
    told: dict[str, Any] = {
        "pairs": recipe.pairs.stamp(),
        "weights": recipe.weights,
        "filters": [[one.name, one.fingerprint] for one in filters],
    }
    shown: dict[str, Any] = {
        "doc": "Candidate pairs with every filter's value and verdict; the release takes those kept.",
        "schema": Pairs,
        "extra": {f"filter_{one.name}": pl.Float64 for one in filters}
        | {f"kept_{one.name}": pl.Boolean for one in filters},
        "checks": (SIDES, ADDS_UP, UNKNOWN),
        "view": partial(pairs_view, recipe),
        "view_reads": ("prompts", "preferences"),
    }
    if not any(one.fitted for one in filters):
        alone = partial(_pairs_at_once, recipe)
        return [Derived(name="pairs", table="pairs", inputs=drawn, options=told, code=CODE, make=alone, **shown)]
    return [
        Derived(
            name="candidates",
            table="candidates",
            inputs=drawn,
            options=told,
            code=CODE,
            make=partial(_candidates, recipe),
            doc="Drawn pairs with the value of every filter.",
        ),
        Derived(
            name="cutoffs",
            table=CUTOFFS,
            fit=True,
            inputs=(Input("candidates", every_shard=True),),
            options=told["filters"],
            code=CODE,
            make=partial(_cutoffs, filters),
            doc="What each filter knows of all pairs that get to it.",
        ),
        Derived(
            name="pairs",
            table="pairs",
            inputs=(Input("candidates"), Input(CUTOFFS, fit=True)),
            options=told["filters"],
            code=CODE,
            make=partial(_pairs, filters),
            **shown,
        ),
    ]


def strategy_of(recipe: Recipe) -> Strategy:
    """Which says what pairs are drawn."""
    assert isinstance(recipe.pairs, Strategy)
    return recipe.pairs


def judged(pairs: pl.DataFrame, filters: list[Filter], cutoffs: dict[str, State]) -> pl.DataFrame:
    """The pairs table from candidates with `filter_<name>` values: kept_<name> each, kept, the first reason to drop."""
    reasons = [one.reason(pl.col(f"filter_{one.name}"), cutoffs.get(one.name)) for one in filters]
    frame = pairs.with_columns(
        [reason.is_null().alias(f"kept_{one.name}") for one, reason in zip(filters, reasons, strict=True)]
        + [pl.coalesce(*reasons, pl.lit(None, pl.String)).alias("reason")]
    ).with_columns(kept=pl.col("reason").is_null())
    extra = [f"{part}_{one.name}" for one in filters for part in ("filter", "kept")]
    return check(frame, Pairs, extra)


def _candidates(recipe: Recipe, inputs: Inputs) -> pl.DataFrame:
    """A shard's drawn pairs with the value of every filter."""
    preferences = read_table(inputs.file("preferences", inputs.shard))
    voting = [name for name, weight in recipe.weights.items() if weight > 0]
    responses = scan([inputs.file("responses", inputs.shard)])
    drawn = strategy_of(recipe).draw(preferences, same_answers(responses))
    pairs = annotate(drawn, preferences, voting)
    filters = filters_of(recipe)
    if any(one.needs_texts for one in filters):
        pairs = with_texts(pairs, responses)
    values = [_value(one, pairs, inputs).alias(f"filter_{one.name}") for one in filters]
    texts = [name for name in ("chosen", "rejected") if name in pairs.columns]
    return pairs.with_columns(values).drop("scores_chosen", "scores_rejected", *texts)


def _pairs_at_once(recipe: Recipe, inputs: Inputs) -> pl.DataFrame:
    """Where no filter looks at the whole data set."""
    return judged(_candidates(recipe, inputs), filters_of(recipe), {})


def _pairs(filters: list[Filter], inputs: Inputs) -> pl.DataFrame:
    rows = read_table(inputs.fit_file(CUTOFFS)).select("filter", "state").iter_rows()
    states = {name: state_from(text) for name, text in rows}
    return judged(read_table(inputs.file("candidates", inputs.shard)), filters, states)


def _needs(recipe: Recipe) -> list[PassRequest]:
    return [need for one in filters_of(recipe) if (need := one.need())]


def _value(one: Filter, pairs: pl.DataFrame, inputs: Inputs) -> pl.Series:
    need = one.need()
    return one.values(with_likelihoods(pairs, need, inputs, inputs.shard) if need else pairs)


def _cutoffs(filters: list[Filter], inputs: Inputs) -> pl.DataFrame:
    """What each filter knows of all pairs that get to it, over narrow columns of the whole data set."""
    columns = ["pair_id", *(f"filter_{one.name}" for one in filters)]
    left = scan(inputs.files("candidates")).select(columns).collect()
    rows = []
    for one in filters:
        value = pl.col(f"filter_{one.name}")
        state = one.fit(left.select("pair_id", value=value))
        rows.append({"filter": one.name, "state": state_text(state)})
        left = left.filter(one.kept(value, state))
    return pl.DataFrame(rows, schema={"filter": pl.String, "state": pl.String})
