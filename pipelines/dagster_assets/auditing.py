"""The drift of a recipe's judges as a Dagster asset."""

from datetime import datetime

import dagster as dg
import polars as pl

from pairwright.assets.auditing.relabel import NIGHT, audit, last_night
from pairwright.assets.display import views
from pairwright.assets.judging.verdicts import judges_of
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.recipe import Recipe


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The drift of a recipe's judges, where the recipe has a schedule."""
    if recipe.schedule is None:
        return []

    judged = [common.key(recipe, "verdicts", judge.name) for judge in judges_of(recipe)]

    @dg.asset(**common.arguments(recipe, "drift", sharded=False, after=judged, code=[audit]))
    @in_run_log
    def drift(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """In a nightly run, judges a share of the old verdicts again; shows how the last night's answers compare."""
        workspace = common.workspace(context, recipe)
        if night := context.run.tags.get(NIGHT):
            audit(recipe, workspace, datetime.fromisoformat(night))
        last = last_night(workspace)
        if last is None or not last["drift"]:
            return common.result({"judged again": "nothing yet"}, content=[])
        shown = pl.DataFrame(last["drift"])
        told = {"night": last["night"], "drift": dg.MarkdownMetadataValue(views.table(shown))}
        return common.result(told, content=last)

    return [drift]
