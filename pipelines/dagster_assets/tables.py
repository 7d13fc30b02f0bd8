"""The tables of a recipe as Dagster assets: one for each stage of the flow that has an asset of its own."""

import dagster as dg

from pairwright.assets.flow import flow
from pairwright.assets.stages.stage import Stage
from pairwright.pipelines.dagster_assets import common
from pairwright.pipelines.dagster_assets.lineage import asset_path
from pairwright.pipelines.dagster_assets.stage_asset import stage_asset
from pairwright.schemas.recipe import Recipe


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """One asset a table, and one for the release."""
    groups: dict[tuple[str, ...], list[Stage]] = {}
    for stage in flow(recipe):
        groups.setdefault(asset_path(stage.name), []).append(stage)
    drift = [common.key(recipe, "drift")] if recipe.schedule else []
    besides: dict[tuple[str, ...], list[dg.AssetKey]] = {
        ("prompts",): [common.key(recipe, "source")],
        ("preferences",): drift,  # what is judged again comes before what is made of the verdicts
    }
    return [stage_asset(recipe, _own_last(path, stages), besides.get(path, [])) for path, stages in groups.items()]


def _own_last(path: tuple[str, ...], stages: list[Stage]) -> list[Stage]:
    """The stages that an asset makes, the one that it is named for at the end."""
    name = "/".join(path)
    return [*(one for one in stages if one.name != name), *(one for one in stages if one.name == name)]
