"""The funnel: how many prompts and pairs each step of pairing let through, and what the UI shows of pairs."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.pairing.filters.base import Filter
from pairwright.assets.stages.view import Check, Finding, View
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.schemas.recipe import Recipe

SIDES = Check("sides_differ", "No pair has the same response on both sides, and chosen is strictly better.", stops=True)
ADDS_UP = Check("funnel_adds_up", "What a step lets through is what the next one gets.", stops=True)
UNKNOWN = Check("watch_unknown", "Each filter has a value for at least 95 % of the pairs that come to it.")
MOST_UNKNOWN = 0.05
"""Share of pairs above which UNKNOWN warns."""


class FunnelStep(NamedTuple):
    """What one step let through: `entered` = `dropped` + `left`."""

    step: str
    entered: int
    dropped: int
    left: int
    unknown: int = 0
    """Of those that entered, how many a filter had no value for."""


def filters_of(recipe: Recipe) -> list[Filter]:
    """The recipe's filters, in its order."""
    return [one for one in recipe.filters if isinstance(one, Filter)]


def funnel(recipe: Recipe, workspace: Workspace, shards: Sequence[Shard] | None = None) -> list[FunnelStep]:
    """From prompts to kept pairs of some shards or all, step by step; within each part the numbers add up exactly.

    They are counted a shard at a time.
    """
    if shards is None:
        for table in ("prompts", "preferences", "pairs"):
            workspace.files(table)  # tells those that are missing
    names = [one.name for one in filters_of(recipe)]
    of_shards = [_funnel(names, workspace, one) for one in (workspace.each_shard() if shards is None else shards)]
    return [
        FunnelStep(same[0].step, *map(sum, zip(*(one[1:] for one in same), strict=True)))
        for same in zip(*of_shards, strict=True)
    ]


def _funnel(names: list[str], workspace: Workspace, shard: Shard) -> list[FunnelStep]:
    """The steps of a shard; `names` are those of the filters."""
    prompts = scan([workspace.file("prompts", shard)]).select(pl.len()).collect().item()
    ranked = scan([workspace.file("preferences", shard)]).filter(pl.col("utility").is_not_null())
    several = ranked.group_by("prompt_id").len().filter(pl.col("len") > 1).select(pl.len()).collect().item()
    columns = ["prompt_id", "kept", *(f"{part}_{name}" for name in names for part in ("kept", "filter"))]
    pairs = scan([workspace.file("pairs", shard)]).select(columns).collect()
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


def pairs_view(recipe: Recipe, workspace: Workspace, shards: Sequence[Shard]) -> View:
    """Counts, the funnel as a table and a picture, and the first pairs."""
    rows = scan([workspace.file("pairs", shard) for shard in shards])
    wrong = (pl.col("chosen_id") == pl.col("rejected_id")) | (pl.col("score_chosen") <= pl.col("score_rejected"))
    total, same, kept = rows.select(rows=pl.len(), same=wrong.sum(), kept=pl.col("kept").sum()).collect().row(0)
    steps = funnel(recipe, workspace, shards)
    adds_up = all(step.entered - step.dropped == step.left for step in steps) and all(
        before.left == after.entered for before, after in pairwise(steps[2:])
    )
    unknown = "; ".join(
        f"{step.step}: no value for {step.unknown} of {step.entered}"
        for step in steps
        if step.unknown > MOST_UNKNOWN * step.entered
    )
    pictures = {
        "funnel": views.funnel_picture(steps),
        "funnel as a table": views.table(pl.DataFrame(steps, schema=FunnelStep._fields, orient="row")),
        "preview": views.table(rows.head(views.PREVIEW).collect()),
    }
    findings = {
        SIDES.name: Finding(same == 0, f"{same} of {total} pairs"),
        ADDS_UP.name: Finding(adds_up, "see the funnel"),
        UNKNOWN.name: Finding(not unknown, unknown or "nearly all have one"),
    }
    return View({"rows": total, "kept": kept}, pictures, findings)
