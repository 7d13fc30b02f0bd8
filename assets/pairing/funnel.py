"""The funnel: how many prompts and pairs each step let through, counted in the tables themselves."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from pairwright.assets.storage.store import Workspace, scan
from pairwright.schemas.recipe import Recipe


class FunnelStep(NamedTuple):
    """What one step let through: `entered` = `dropped` + `left`."""

    step: str
    entered: int
    dropped: int
    left: int
    unknown: int = 0
    """Of those that entered, how many a filter had no value for."""


def funnel(recipe: Recipe, workspace: Workspace) -> list[FunnelStep]:
    """From prompts to kept pairs, step by step; within each part the numbers add up exactly. Read a shard at a time."""
    files = zip(*(workspace.files(table) for table in ("prompts", "preferences", "pairs")), strict=True)
    names = [one.name for one in recipe.filters]
    of_shards = [_funnel(names, *paths) for paths in files]
    return [
        FunnelStep(same[0].step, *map(sum, zip(*(one[1:] for one in same), strict=True)))
        for same in zip(*of_shards, strict=True)
    ]


def _funnel(names: list[str], prompts_file: Path, preferences_file: Path, pairs_file: Path) -> list[FunnelStep]:
    """The steps of a shard; `names` are those of the filters."""
    prompts = scan([prompts_file]).select(pl.len()).collect().item()
    ranked = scan([preferences_file]).filter(pl.col("utility").is_not_null())
    several = ranked.group_by("prompt_id").len().filter(pl.col("len") > 1).select(pl.len()).collect().item()
    columns = ["prompt_id", "kept", *(f"{part}_{name}" for name in names for part in ("kept", "filter"))]
    pairs = scan([pairs_file]).select(columns).collect()
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
