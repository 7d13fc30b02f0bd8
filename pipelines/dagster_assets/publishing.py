"""The exports of a release, and the release on the Hub, as Dagster assets."""

from collections.abc import Callable
from typing import Any

import dagster as dg
import polars as pl

from pairwright.assets.display import views
from pairwright.assets.publishing.export import export
from pairwright.assets.publishing.formats.base import Format
from pairwright.assets.publishing.hub import push
from pairwright.assets.releasing.versions import newest
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.run_log import in_run_log
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The exports of a recipe's releases, and the published release, where it asks for them."""
    formats = [one for one in recipe.release.formats if isinstance(one, Format)]
    repo = recipe.release.hub
    return [*([_exports(recipe, formats)] if formats else []), *([_hub(recipe, repo)] if repo else [])]


def _exports(recipe: Recipe, formats: list[Format]) -> dg.AssetsDefinition:
    made_by: list[Callable[..., Any]] = [export, *map(type, formats)]
    arguments = common.arguments(recipe, "exports", sharded=False, after=[common.key(recipe, "release")], code=made_by)
    arguments["code_version"] = fingerprint([form.fingerprint for form in formats])

    @dg.asset(**arguments)
    @in_run_log
    def exports(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The latest release in each of the recipe's formats, under `exports/<version>/<format>`."""
        workspace = common.workspace(context, recipe)
        made = newest(workspace)
        folder = workspace.root / "exports" / made.version
        done = [export(made, form, folder / form.name, ours=True) for form in formats]
        shown = pl.DataFrame(
            {
                "format": [one.path.name for one in done],
                "rows": [sum(file["rows"] for file in one.stamp["files"].values()) for one in done],
                "left out": [sum(one.stamp["left_out"].values()) for one in done],
            }
        )
        told = {"path": dg.MetadataValue.path(str(folder)), "formats": dg.MarkdownMetadataValue(views.table(shown))}
        return common.result(told, content=[one.stamp for one in done])

    return exports


def _hub(recipe: Recipe, repo: str) -> dg.AssetsDefinition:
    @dg.asset(
        **common.arguments(recipe, "hub", sharded=False, after=[common.key(recipe, "release")], code=[push])
        | {"kinds": {"huggingface"}},
    )
    @in_run_log
    def hub(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """The latest release on the Hub: Parquet, card and manifest, tagged with its version."""
        made = newest(common.workspace(context, recipe))
        done = push(made, repo)
        facts: dict[str, Any] = {
            "repository": repo,
            "version": done.version,
            "commit": done.commit,
            "files": len(done.add),
        }
        return common.result(facts, content=[repo, made.version, made.manifest["digest"]])

    return hub
