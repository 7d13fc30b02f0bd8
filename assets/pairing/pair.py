"""Pairs: drawn from ranked responses, annotated by every filter, kept or dropped for a stated reason."""

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.pairing.filters.base import Filter, State, state_from, state_text
from pairwright.assets.pairing.same_answer import same_answers
from pairwright.assets.pairing.strategies.base import Strategy
from pairwright.assets.stages.stage import Derived, Input, Inputs
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan
from pairwright.models.local.request import PassRequest
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Pairs, check

CODE = 3
"""Raised when the same preferences would give other pairs."""
CUTOFFS = "cutoffs"


class FunnelStep(NamedTuple):
    """What one step let through: `entered` = `dropped` + `left`."""

    step: str
    entered: int
    dropped: int
    left: int
    unknown: int = 0
    """Of those that entered, how many a filter had no value for."""


def pair(recipe: Recipe, workspace: Workspace) -> int:
    """Bring the pairs of all shards up to the preferences and filters; how many shards were made."""
    made = [stage.bring_up(workspace) for stage in pair_stages(recipe)]
    return made[-1]


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
    if not any(one.fitted for one in filters):
        alone = partial(_pairs_at_once, recipe)
        return [Derived(name="pairs", table="pairs", inputs=drawn, options=told, code=CODE, make=alone)]
    judged_from = (Input("candidates"), Input(CUTOFFS, fit=True))
    every = (Input("candidates", every_shard=True),)
    return [
        Derived(
            name="candidates",
            table="candidates",
            inputs=drawn,
            options=told,
            code=CODE,
            make=partial(_candidates, recipe),
        ),
        Derived(
            name="cutoffs",
            table=CUTOFFS,
            fit=True,
            inputs=every,
            options=told["filters"],
            code=CODE,
            make=partial(_cutoffs, filters),
        ),
        Derived(
            name="pairs",
            table="pairs",
            inputs=judged_from,
            options=told["filters"],
            code=CODE,
            make=partial(_pairs, filters),
        ),
    ]


def filters_of(recipe: Recipe) -> list[Filter]:
    """The recipe's filters, in its order."""
    return [one for one in recipe.filters if isinstance(one, Filter)]


def strategy_of(recipe: Recipe) -> Strategy:
    """Which says what pairs are drawn."""
    assert isinstance(recipe.pairs, Strategy)
    return recipe.pairs


def annotate(drawn: pl.DataFrame, preferences: pl.DataFrame, judges: list[str]) -> pl.DataFrame:
    """Drawn pairs with both sides' preferences: all columns of the pairs table but kept and reason, and the structs
    `scores_chosen` and `scores_rejected`.

    Over `judges`, those with a vote: strength is the plain mean of the z-score difference ("Secrets of RLHF II");
    label_confidence the share that scored chosen above rejected, a tie counting one half.
    """
    side = preferences.select("response_id", "utility", "scores", "z")  # the id names its prompt, too
    pairs = drawn
    for name in ("chosen", "rejected"):
        renamed = side.rename(
            {
                "response_id": f"{name}_id",
                "utility": f"score_{name}",
                "scores": f"scores_{name}",
                "z": f"z_{name}",
            }
        )
        pairs = pairs.join(renamed, on=f"{name}_id", how="left", maintain_order="left")
    z, scores = (
        [pl.col(f"{what}_chosen").struct.field(name) - pl.col(f"{what}_rejected").struct.field(name) for name in judges]
        for what in ("z", "scores")
    )
    votes = [(one.sign() + 1) / 2 for one in scores]  # which may differ by less than z can show
    return pairs.with_columns(
        pair_id=pl.col("chosen_id").str.slice(0, 12) + pl.col("rejected_id").str.slice(0, 12),
        margin=pl.col("score_chosen") - pl.col("score_rejected"),
        strength=pl.mean_horizontal(z),
        label_confidence=pl.mean_horizontal(votes),
        weight=pl.lit(1.0),
    ).drop("z_chosen", "z_rejected")


def judged(pairs: pl.DataFrame, filters: list[Filter], cutoffs: dict[str, State]) -> pl.DataFrame:
    """The pairs table from candidates with `filter_<name>` values: kept_<name> each, kept, the first reason to drop."""
    reasons = [one.reason(pl.col(f"filter_{one.name}"), cutoffs.get(one.name)) for one in filters]
    frame = pairs.with_columns(
        [reason.is_null().alias(f"kept_{one.name}") for one, reason in zip(filters, reasons, strict=True)]
        + [pl.coalesce(*reasons, pl.lit(None, pl.String)).alias("reason")]
    ).with_columns(kept=pl.col("reason").is_null())
    extra = [f"{part}_{one.name}" for one in filters for part in ("filter", "kept")]
    return check(frame, Pairs, extra)


def funnel(recipe: Recipe, workspace: Workspace) -> list[FunnelStep]:
    """From prompts to kept pairs, step by step; within each part the numbers add up exactly."""
    prompts = scan(workspace.files("prompts")).select(pl.len()).collect().item()
    ranked = scan(workspace.files("preferences")).filter(pl.col("utility").is_not_null())
    several = ranked.group_by("prompt_id").len().filter(pl.col("len") > 1).select(pl.len()).collect().item()
    names = [one.name for one in filters_of(recipe)]
    columns = ["prompt_id", "kept", *(f"{part}_{name}" for name in names for part in ("kept", "filter"))]
    pairs = scan(workspace.files("pairs")).select(columns).collect()
    paired = pairs.get_column("prompt_id").n_unique()
    steps = [
        FunnelStep("prompts with two ranked responses", prompts, prompts - several, several),
        FunnelStep("prompts with a pair", several, several - paired, paired),
    ]
    left = pairs
    for name in names:
        after = left.filter(pl.col(f"kept_{name}"))
        unknown = left.get_column(f"filter_{name}").null_count()
        steps.append(FunnelStep(f"pairs after {name}", left.height, left.height - after.height, after.height, unknown))
        left = after
    kept = pairs.filter("kept").height
    return [*steps, FunnelStep("pairs kept", left.height, left.height - kept, kept)]


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


def with_likelihoods(pairs: pl.DataFrame, need: PassRequest, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """The pairs with a model's row of both sides as structs `likelihood_chosen` and `likelihood_rejected`, by key."""
    rows = scan([workspace.file(need.table, shard)]).drop("evidence", "follow_ups", "token_logprobs")
    lazy = pairs.lazy()
    for side in ("chosen", "rejected"):
        one = rows.select(
            "prompt_id", pl.col("response_id").alias(f"{side}_id"), pl.struct(pl.all()).alias(f"likelihood_{side}")
        )
        lazy = lazy.join(one, on=["prompt_id", f"{side}_id"], how="left", maintain_order="left")
    return lazy.collect()


def with_texts(pairs: pl.DataFrame, responses: pl.LazyFrame) -> pl.DataFrame:
    """The pairs with the texts of both sides, by key."""
    texts = responses.select("response_id", "text")
    lazy = pairs.lazy()
    for side in ("chosen", "rejected"):
        one = texts.rename({"response_id": f"{side}_id", "text": side})
        lazy = lazy.join(one, on=f"{side}_id", how="left", maintain_order="left")
    return lazy.collect()


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


def pairs_view(recipe: Recipe, workspace: Workspace) -> dict[str, str]:
    """Counts, the funnel as a table and a picture, and the first pairs."""
    rows = scan(workspace.files("pairs"))
    wrong = (pl.col("chosen_id") == pl.col("rejected_id")) | (pl.col("score_chosen") <= pl.col("score_rejected"))
    counts = rows.select(rows=pl.len(), same=wrong.sum()).collect().row(0, named=True)
    steps = funnel(recipe, workspace)
    inside = steps[2:]
    adds_up = all(step.entered - step.dropped == step.left for step in steps) and all(
        before.left == after.entered for before, after in pairwise(inside)
    )
    return {
        "rows": str(counts["rows"]),
        "same": str(counts["same"]),
        "adds up": "yes" if adds_up else "no",
        "unknown": "; ".join(
            f"{step.step}: no value for {step.unknown} of {step.entered}"
            for step in steps
            if step.unknown > 0.05 * step.entered
        ),
        "funnel": views.funnel_picture(steps),
        "funnel as a table": views.table(pl.DataFrame(steps, schema=FunnelStep._fields, orient="row")),
        "preview": views.table(rows.head(views.PREVIEW).collect()),
    }
