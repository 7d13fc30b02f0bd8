"""A recipe as Dagster definitions: its assets, and the job that builds them all."""

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines import nightly, source_sensor
from pairwright.pipelines.coordinator import Coordinator, workers_wanted
from pairwright.pipelines.dagster_assets import auditing, common, publishing, report, tables
from pairwright.pipelines.io_manager import tables as tables_manager
from pairwright.pipelines.names import group, job_name
from pairwright.pipelines.source_asset import source_asset
from pairwright.schemas.recipe import Recipe

warnings.filterwarnings("ignore", category=dg.BetaWarning)

MODULES = (tables, auditing, report, publishing)
"""Of assets: the tables of the flow, and what is made beside them."""
WAIT = 12 * 3600.0
"""Seconds that a run of the UI, a schedule or a backfill waits for another build of its data set."""


def builder(recipe: Recipe, data: Path | None = None) -> dg.ResourceDefinition:
    """What the steps of a run share: workspace, budget, and who goes over the shards.

    The run is the data set's one builder, from before its first step until after its last.

    It lies under `data`, by default where PAIRWRIGHT_DATA says.
    """

    @dg.resource(config_schema={})
    def built_by(context: dg.InitResourceContext) -> Iterator[Coordinator]:
        run = context.run.run_id[:8] if context.run else "without a number"
        say = context.log.info if context.log else print
        workspace = Workspace.of(recipe, data)
        with (
            building(workspace, f"Dagster's run {run}", recipe.path, WAIT, say),
            Coordinator(recipe, workspace, workers_wanted()) as one,
        ):
            yield one

    return built_by


def definitions(recipes: Sequence[Recipe], data: Path | None = None) -> dg.Definitions:
    """All of several recipes, whose tables lie under `data`, by default where PAIRWRIGHT_DATA says.

    Steps run in one process: concurrency lives inside the assets.
    """
    return dg.Definitions(
        assets=[
            *(source_asset(recipe, data) for recipe in recipes),
            *(asset for recipe in recipes for module in MODULES for asset in module.assets(recipe)),
        ],
        jobs=[
            dg.define_asset_job(
                job_name(recipe),
                selection=dg.AssetSelection.groups(group(recipe)),
                description=f"Builds {recipe.dataset} from its sources to a release.",
            )
            for recipe in recipes
        ],
        schedules=nightly.schedules(recipes),
        sensors=source_sensor.sensors(recipes),
        resources={
            "io_manager": tables_manager(recipes, data),
            **{common.builder(recipe): builder(recipe, data) for recipe in recipes},
        },
        executor=dg.in_process_executor,
    )
