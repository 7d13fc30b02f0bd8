"""The stages of sampling: what policies write, and the responses that come of it."""

from collections.abc import Sequence
from functools import partial

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.sampling.policies.base import Policy
from pairwright.assets.sampling.pool import samples_table
from pairwright.assets.sampling.sample import (
    estimate,
    sample_shard,
    samples_basis,
)
from pairwright.assets.stages.run import Run
from pairwright.assets.stages.stage import Expected, Paid
from pairwright.assets.stages.view import View
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.models.estimate import Estimate
from pairwright.schemas.paid_tables import Samples
from pairwright.schemas.recipe import Recipe


def samples_stage(recipe: Recipe, policy: Policy) -> Paid:
    """What a policy writes."""

    def answer(workspace: Workspace, shard: Shard, run: Run) -> int:
        return sample_shard(recipe, policy, workspace, shard, run)

    def estimated(workspace: Workspace, expected: Expected | None) -> Estimate:
        return estimate(recipe, policy, workspace)

    return Paid.of(
        samples_basis(recipe, policy),
        doc="The texts that the policy wrote for each prompt.",
        made_by=policy,
        schema=Samples,
        view=partial(_samples_view, samples_table(policy)),
        label=policy.name,
        kind=policy.content()["kind"],
        answer=answer,
        estimate=estimated,
    )


def _samples_view(table: str, workspace: Workspace, shards: Sequence[Shard]) -> View:
    """Counts, and how the samples ended."""
    rows = scan([workspace.file(table, shard) for shard in shards])
    ended = rows.group_by("finish_reason", "failure").len().sort("len", "finish_reason", "failure", descending=True)
    counts = rows.select(
        rows=pl.len(), failures=pl.col("failure").count(), prompts=pl.col("prompt_id").n_unique()
    ).collect()
    return View(counts.row(0, named=True), {"how they ended": views.table(ended.collect())})
