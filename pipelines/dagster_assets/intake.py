"""The prompts and responses of a recipe's sources as Dagster assets."""

from typing import Any

import dagster as dg
import polars as pl

from pairwright.assets.display import views
from pairwright.assets.intake import reasoned
from pairwright.assets.intake.source import take_in
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.store import Workspace, read_table, scan, version_of
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Prompts, Responses


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The prompts and responses of a recipe."""
    checks = {"watch_rejects": "At most 5 % of the source's rows are rejects."}

    @dg.asset(
        **common.arguments(recipe, "prompts", sharded=True, schema=Prompts),
        check_specs=common.check_specs(recipe, ("prompts",), checks),
    )
    @in_run_log
    def prompts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Conversations that end before the assistant's turn, from the recipe's sources."""
        workspace = Workspace.of(recipe)
        made = take_in(recipe, workspace)
        context.log.info(
            f"{made.prompts} prompts and {made.responses} responses; {made.rejects} rows rejected; {made.notices} rows "
            "repeat a prompt with other attributes, their responses are kept"
        )
        metadata = {**counted(context, workspace, "prompts"), "rejects": made.rejects, "notices": made.notices}
        for table in ("rejects", "notices"):
            if metadata[table]:
                rows = read_table(workspace.root / f"{table}.parquet")
                metadata[f"first {table}"] = dg.MarkdownMetadataValue(views.table(rows))
        few = made.rejects <= 0.05 * made.rows
        return common.result(metadata, {"watch_rejects": (few, f"{made.rejects} of {made.rows} rows")})

    @dg.asset(
        **common.arguments(recipe, "responses", sharded=True, schema=Responses),
        check_specs=common.check_specs(recipe, ("responses",), reasoned.CHECKS),
    )
    @in_run_log
    def responses(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Distinct texts for each prompt, with everyone who wrote them."""
        workspace = Workspace.of(recipe)
        take_in(recipe, workspace)
        return common.result(counted(context, workspace, "responses"), reasoned.reasoning_check(workspace))

    return [prompts] if recipe.policies else [prompts, responses]


def counted(context: dg.AssetExecutionContext, workspace: Workspace, table: str) -> dict[str, Any]:
    """Metadata of a table: the rows of the run's shards, and the first of them."""
    files = common.files_made(context, workspace, table)

    def make() -> dict[str, str]:
        shown = scan(files).head(views.PREVIEW).collect()
        return {"preview": views.table(shown.select(pl.exclude("sketch", "tests", "steps")))}

    view = kept_view(workspace, table, [version_of(path) for path in files], make)
    return {
        "dagster/row_count": scan(files).select(pl.len()).collect().item(),
        **{name: dg.MarkdownMetadataValue(text) for name, text in view.items()},
    }
