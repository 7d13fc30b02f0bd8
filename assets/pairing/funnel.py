"""The funnel: from prompts to kept pairs, step by step, and how it is shown."""

from itertools import pairwise
from typing import NamedTuple

import polars as pl

from pairwright.assets.display import views
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
    """From prompts to kept pairs, step by step; within each part the numbers add up exactly."""
    prompts = scan(workspace.files("prompts")).select(pl.len()).collect().item()
    ranked = scan(workspace.files("preferences")).filter(pl.col("utility").is_not_null())
    several = ranked.group_by("prompt_id").len().filter(pl.col("len") > 1).select(pl.len()).collect().item()
    names = [one.name for one in recipe.filters]
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
