"""Rankings: a prompt's ranked responses with scores, ranks and soft targets, for listwise objectives."""

from functools import partial

import polars as pl

from pairwright.assets.stages.basis import Input, Inputs
from pairwright.assets.stages.stage import Derived
from pairwright.assets.stages.view import preview
from pairwright.assets.storage.store import Workspace, read_table
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Rankings, check

CODE = 1
"""Raised when the same preferences would give other rankings."""


def rank(recipe: Recipe, workspace: Workspace) -> int:
    """Bring the rankings of all shards up to the preferences; how many shards were made."""
    return rankings_stage(recipe).bring_up(workspace).files


def rankings_stage(recipe: Recipe) -> Derived:
    """Every prompt's ranked responses."""
    return Derived(
        name="rankings",
        table="rankings",
        inputs=(Input("preferences"),),
        options=recipe.rankings.model_dump(),
        code=CODE,
        make=partial(_rankings, recipe.rankings.temperature),
        doc="Every prompt's ranked responses with scores, ranks and soft targets.",
        schema=Rankings,
        view=partial(preview, "rankings"),
    )


def _rankings(temperature: float, inputs: Inputs) -> pl.DataFrame:
    return rankings(read_table(inputs.file("preferences", inputs.shard)), temperature)


def rankings(preferences: pl.DataFrame, temperature: float) -> pl.DataFrame:
    """One row a prompt with at least two ranked responses, best first, ties in id order.

    soft_targets is the softmax of utility / temperature over the prompt's responses.
    """
    peak = pl.col("utility").max().over("prompt_id")
    exponential = ((pl.col("utility") - peak) / temperature).exp()
    ranked = (
        preferences.filter(pl.col("utility").is_not_null())
        .sort("prompt_id", "utility", "response_id", descending=[False, True, False])
        .with_columns(_weight=exponential)
        .group_by("prompt_id", maintain_order=True)
        .agg(response_ids="response_id", scores="utility", ranks="rank", soft_targets=pl.col("_weight"))
        .filter(pl.col("response_ids").list.len() > 1)
        .with_columns(pl.col("soft_targets").list.eval(pl.element() / pl.element().sum()))
    )
    return check(ranked, Rankings)
