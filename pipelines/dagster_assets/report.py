"""The report of a recipe's latest release as a Dagster asset."""

import dagster as dg

from pairwright.assets.releasing.versions import newest
from pairwright.assets.report import page
from pairwright.assets.storage.integrity import file_hash
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.recipe import Recipe


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The report of a recipe's latest release."""

    release = common.key(recipe, "release")

    @dg.asset(**common.arguments(recipe, "report", sharded=False, after=[release], code=[page.report]))
    @in_run_log
    def report_html(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """`report.html` in the release's folder: one file, to be opened without a network."""
        workspace = common.workspace(context, recipe)
        path = page.report(recipe, workspace, newest(workspace))
        told = {"path": dg.MetadataValue.path(str(path)), "bytes": path.stat().st_size}
        return common.result(told, content=file_hash(path))

    return [report_html]
