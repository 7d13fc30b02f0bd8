"""The release of a recipe as a Dagster asset."""

import dagster as dg

from pairwright.assets.releasing.release import release, release_view
from pairwright.assets.storage.kept_views import kept_view
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.recipe import Recipe


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The release of a recipe."""
    checks = {
        "no_leakage": "No prompt is in two splits.",
        "watch_length_bias": "The longer side is chosen in 30 % to 70 % of the pairs.",
    }

    @dg.asset(
        **common.arguments(recipe, "release", sharded=False),
        check_specs=common.check_specs(recipe, ("release",), checks),
    )
    @in_run_log
    def versioned(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """An immutable version: Parquet that trainers read as it is, a dataset card, and a manifest."""
        workspace = Workspace.of(recipe)
        made = release(recipe, workspace)
        context.log.info(f"{recipe.dataset} {made.version} at {made.path}")
        view = kept_view(workspace, "release", [made.manifest["digest"]], lambda: release_view(made))
        leaked, longer, rows = int(view.pop("leaked")), float(view.pop("longer")), int(view.pop("rows"))
        found = {
            "no_leakage": (leaked == 0, f"{leaked} prompts in two splits"),
            "watch_length_bias": (0.3 <= longer <= 0.7, f"chosen is the longer side in {longer:.1%}"),
        }
        facts = {
            "dagster/row_count": rows,
            "version": made.version,
            "path": dg.MetadataValue.path(str(made.path)),
        }
        return common.result(facts | {name: dg.MarkdownMetadataValue(text) for name, text in view.items()}, found)

    return [versioned]
