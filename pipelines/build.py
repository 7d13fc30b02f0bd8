"""A recipe as Dagster definitions: its assets, and the job that builds them all."""

import warnings
from collections.abc import Iterator, Sequence

import dagster as dg

from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines import nightly, source_sensor
from pairwright.pipelines.dagster_assets import auditing, common, publishing, report, tables
from pairwright.pipelines.io_manager import NO_VALUES
from pairwright.pipelines.names import group, job_name
from pairwright.schemas.recipe import Recipe

warnings.filterwarnings("ignore", category=dg.BetaWarning)

MODULES = (tables, auditing, report, publishing)
"""Of assets: the tables of the flow, and what is made beside them."""
WAIT = 12 * 3600.0
"""Seconds that a run of the UI, a schedule or a backfill waits for another build of its data set."""


def builder(recipe: Recipe) -> dg.ResourceDefinition:
    """Makes a run the data set's one builder, from before its first step until after its last."""

    @dg.resource(config_schema={})
    def built_by(context: dg.InitResourceContext) -> Iterator[None]:
        run = context.run.run_id[:8] if context.run else "without a number"
        say = context.log.info if context.log else print
        with building(Workspace.of(recipe), f"Dagster's run {run}", recipe.path, WAIT, say):
            yield

    return built_by


def definitions(recipes: Sequence[Recipe]) -> dg.Definitions:
    """All of several recipes. Steps run in one process: concurrency lives inside the assets."""
    return dg.Definitions(
        assets=[asset for recipe in recipes for module in MODULES for asset in module.assets(recipe)],
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
        resources={"io_manager": NO_VALUES, **{common.builder(recipe): builder(recipe) for recipe in recipes}},
        executor=dg.in_process_executor,
    )
