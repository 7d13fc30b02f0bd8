"""What starts runs by itself: the nightly schedule and the sensor for new source files, both off until switched on."""

from collections.abc import Sequence
from datetime import UTC

import dagster as dg

from pairwright.assets import face
from pairwright.assets.readers import open_source
from pairwright.assets.relabel import NIGHT
from pairwright.pipelines.names import every_shard, job_name
from pairwright.schemas.errors import SourceError
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe

LOOK_EVERY = 300
"""Seconds between two looks at the source files."""


def schedules(recipes: Sequence[Recipe]) -> list[dg.ScheduleDefinition]:
    """The nightly run of each recipe that has a schedule."""
    return [_schedule(recipe) for recipe in recipes if recipe.schedule is not None]


def _schedule(recipe: Recipe) -> dg.ScheduleDefinition:
    assert recipe.schedule is not None

    @dg.schedule(
        name=f"{face.group(recipe)}_relabel",
        job_name=job_name(recipe),
        cron_schedule=recipe.schedule.relabel,
        execution_timezone=recipe.schedule.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description=f"Brings {recipe.dataset} up to date and judges a share of its verdicts again.",
    )
    def relabel(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        night = context.scheduled_execution_time.astimezone(UTC).isoformat()
        return dg.RunRequest(run_key=night, tags={**every_shard(recipe), NIGHT: night})

    return relabel


def sensors(recipes: Sequence[Recipe]) -> list[dg.SensorDefinition]:
    """One sensor a recipe, that builds it when its source files are others than when it last looked."""
    return [_sensor(recipe) for recipe in recipes]


def _sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{face.group(recipe)}_sources",
        job_name=job_name(recipe),
        minimum_interval_seconds=LOOK_EVERY,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Builds {recipe.dataset} when its source files change.",
    )
    def sources(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        try:
            version = fingerprint([open_source(source, recipe.path.parent).version for source in recipe.sources])
        except (SourceError, OSError) as error:
            return dg.SkipReason(f"the sources cannot be read: {error}")
        if context.cursor == version:
            return dg.SkipReason("the sources have not changed")
        context.update_cursor(version)
        return dg.RunRequest(run_key=version, tags=every_shard(recipe))

    return sources
