"""The samples of a recipe's policies, and the responses, as Dagster assets."""

import dagster as dg
import polars as pl

from pairwright.assets.display import views
from pairwright.assets.intake import reasoned
from pairwright.assets.sampling.policies.base import Policy
from pairwright.assets.sampling.pool import policies_of, samples_table
from pairwright.assets.sampling.sample import respond, sample_shard
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace, scan
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.described import description
from pairwright.pipelines.dagster_assets.intake import counted
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Responses, Samples


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """One asset a policy, and the responses; nothing where the recipe has no policy."""
    if not recipe.policies:
        return []
    return [*(_samples(recipe, policy) for policy in policies_of(recipe)), _responses(recipe)]


def _samples(recipe: Recipe, policy: Policy) -> dg.AssetsDefinition:
    @dg.asset(
        **common.arguments(recipe, "samples", policy.name, sharded=True, schema=Samples),
        description=description("The texts that the policy wrote for each prompt.", policy),
        code_version=policy.fingerprint,
    )
    @in_run_log
    def samples(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        workspace = Workspace.of(recipe)
        budget = budget_of(recipe, workspace)
        drawn = sum(
            sample_shard(recipe, policy, workspace, shard, budget) for shard in common.shards(context, workspace)
        )
        files = common.files_made(context, workspace, samples_table(policy))
        found = scan(files).group_by("finish_reason", "failure").len().sort("len", descending=True).collect()
        table = dg.MarkdownMetadataValue(views.table(found))
        written_for = scan(files).select(pl.col("prompt_id").n_unique()).collect().item()
        rows = int(found.get_column("len").sum())
        return common.result(
            {"dagster/row_count": rows, "new samples": drawn, "prompts": written_for, "how they ended": table}
        )

    return samples


def _responses(recipe: Recipe) -> dg.AssetsDefinition:
    @dg.asset(
        **common.arguments(recipe, "responses", sharded=True, schema=Responses),
        check_specs=common.check_specs(recipe, ("responses",), reasoned.CHECKS),
    )
    @in_run_log
    def responses(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Distinct texts for each prompt, given and sampled, with everyone who wrote them."""
        workspace = Workspace.of(recipe)
        for shard in common.shards(context, workspace):
            respond(recipe, workspace, shard)
        tables = [samples_table(policy) for policy in policies_of(recipe)]
        samples = [workspace.file(name, shard) for name in tables for shard in workspace.each_shard()]
        return common.result(counted(context, workspace, "responses"), reasoned.reasoning_check(workspace, samples))

    return responses
