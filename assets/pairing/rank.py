"""Rankings: a prompt's ranked responses with scores, ranks and soft targets, for listwise objectives."""

from pathlib import Path
from typing import Any

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.storage.store import Workspace, derive, is_made, read_table, version_of
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Rankings, check

CODE = 1
"""Raised when the same preferences would give other rankings."""


def rank(recipe: Recipe, workspace: Workspace) -> int:
    """Bring the rankings of all shards up to the preferences; how many shards were made."""
    made = 0
    for shard in workspace.each_shard():
        path, preferences = (workspace.file(table, shard) for table in ("rankings", "preferences"))
        made_from = _made_from(recipe, preferences)
        made += derive(path, made_from, _shard, preferences, recipe.rankings.temperature)
        tell("rankings", shard.index + 1, shard.count)
    return made


def ranked(recipe: Recipe, workspace: Workspace) -> bool:
    """Whether the rankings are there and `rank` has nothing to do."""
    files = zip(workspace.files("rankings"), workspace.files("preferences"), strict=True)
    return all(is_made(path, _made_from(recipe, preferences)) for path, preferences in files)


def _made_from(recipe: Recipe, preferences: Path) -> dict[str, Any]:
    return {"code": CODE, "inputs": [version_of(preferences)], "options": recipe.rankings.model_dump()}


def _shard(preferences: Path, temperature: float) -> pl.DataFrame:
    return rankings(read_table(preferences), temperature)


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
