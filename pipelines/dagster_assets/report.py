"""The report of a recipe's latest release as a Dagster asset."""

import dagster as dg

from pairwright.assets.releasing.versions import newest
from pairwright.assets.report.page import report
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.recipe import Recipe


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The report of a recipe's latest release."""

    @dg.asset(**common.arguments(recipe, "report", sharded=False, after=[common.key(recipe, "release")]))
    @in_run_log
    def report_html(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """`report.html` in the release's folder: one file, to be opened without a network."""
        workspace = common.workspace(context, recipe)
        path = report(recipe, workspace, newest(workspace))
        return common.result({"path": dg.MetadataValue.path(str(path)), "bytes": path.stat().st_size})

    return [report_html]
