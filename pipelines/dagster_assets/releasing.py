"""The release of a recipe as a Dagster asset."""

from collections.abc import Sequence

import dagster as dg

from pairwright.assets.releasing.check import Checked, ChecksError
from pairwright.assets.releasing.checks import CHECKS
from pairwright.assets.releasing.release import release
from pairwright.assets.releasing.versions import Release
from pairwright.assets.releasing.view import release_view
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The release of a recipe."""

    @dg.asset(
        **common.arguments(recipe, "release", sharded=False),
        check_specs=common.check_specs(recipe, ("release",), {_name(one.name, one.stops): one.doc for one in CHECKS}),
    )
    @in_run_log
    def versioned(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """An immutable version: Parquet that trainers read as it is, a dataset card, and a manifest."""
        workspace = Workspace.of(recipe)
        try:
            made = release(recipe, workspace)
        except ChecksError as error:
            _log(context, recipe, error.checks)
            raise
        context.log.info(f"{recipe.dataset} {made.version} at {made.path}")
        shown = [made.manifest["digest"], fingerprint(made.checks)]
        view = kept_view(workspace, "release", shown, lambda: release_view(made))
        facts = {
            "dagster/row_count": _pairs(made),
            "version": made.version,
            "path": dg.MetadataValue.path(str(made.path)),
        }
        found = {_name(one.name, one.stops): (one.passed, one.found) for one in made.checks}
        return common.result(facts | {name: dg.MarkdownMetadataValue(text) for name, text in view.items()}, found)

    return [versioned]


def _name(check: str, stops: bool) -> str:
    """What a check is called in Dagster, where those that only warn begin with watch_."""
    return check if stops else f"watch_{check}"


def _pairs(made: Release) -> int:
    return sum(one["rows"] for name, one in made.manifest["files"].items() if name.startswith("pairs/"))


def _log(context: dg.AssetExecutionContext, recipe: Recipe, checks: Sequence[Checked]) -> None:
    """How the checks came out, in the run's log: what stops leaves no asset that could report them."""
    found = {_name(one.name, one.stops): (one.passed, one.found) for one in checks}
    for result in common.result({}, found).check_results or ():
        context.log_event(
            dg.AssetCheckEvaluation(
                asset_key=common.key(recipe, "release"),
                check_name=str(result.check_name),
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                blocking=result.severity is dg.AssetCheckSeverity.ERROR,
            )
        )
