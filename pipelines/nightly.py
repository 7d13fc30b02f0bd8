"""The nightly schedule, off until switched on."""

from collections.abc import Sequence
from datetime import UTC

import dagster as dg

from pairwright.assets.auditing.relabel import NIGHT
from pairwright.pipelines.names import every_shard, group, job_name
from pairwright.schemas.recipe import Recipe


def schedules(recipes: Sequence[Recipe]) -> list[dg.ScheduleDefinition]:
    """The nightly run of each recipe that has a schedule."""
    return [_schedule(recipe) for recipe in recipes if recipe.schedule is not None]


def _schedule(recipe: Recipe) -> dg.ScheduleDefinition:
    assert recipe.schedule is not None

    @dg.schedule(
        name=f"{group(recipe)}_relabel",
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
