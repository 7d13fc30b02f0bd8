"""Running a recipe's job in this process, through the same Dagster assets that the UI shows."""

import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import dagster as dg

from pairwright.assets.auditing.relabel import NIGHT
from pairwright.assets.releasing.versions import FailedCheck, Release, latest
from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.repair import mended
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.build import definitions
from pairwright.pipelines.coordinator import with_workers
from pairwright.pipelines.dagster_assets.common import failed_checks
from pairwright.pipelines.instance import history, home_of, room_for_history
from pairwright.pipelines.names import every_shard, job_name
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def build(
    recipe: Recipe,
    data: Path,
    night: datetime | None = None,
    wait: float = 0.0,
    say: Callable[[str], None] = lambda line: None,
    workers: int = 1,
) -> Release:
    """Build a recipe to a release; the run shows in the UI's history.

    With a `night`, its run also judges again what the recipe's schedule asks for on it. Another build of the data set
    is waited for, up to `wait` seconds, and `say` told who that is. Raises PairwrightError with the reason when no
    release was made, naming who else builds the data set. With several `workers`, processes of their own make shards.
    """
    workspace = Workspace.of(recipe, data)
    command = "`pairwright relabel`" if night else "`pairwright build`"
    with building(workspace, command, recipe.path, wait, say), with_workers(workers):
        return _build(recipe, workspace, night)


def _build(recipe: Recipe, workspace: Workspace, night: datetime | None) -> Release:
    home = home_of(workspace.data)
    before = latest(workspace)
    tags = every_shard(recipe) | ({NIGHT: night.isoformat()} if night else {})
    job = definitions([recipe], workspace.data).resolve_job_def(job_name(recipe))

    def run_job() -> tuple[bool, list[FailedCheck]]:
        with room_for_history(home), history(home) as instance:
            run_id = str(uuid.uuid4())
            try:
                run = job.execute_in_process(instance=instance, tags=tags, run_config=QUIET, run_id=run_id)
            except dg.DagsterError:
                stopped = [one for one in failed_checks(instance, run_id) if one.stops]
                if not stopped:
                    raise
                lines = "; ".join(f"{one.table}, {one.check}: {one.found}" for one in stopped)
                raise PairwrightError(f"{recipe.dataset}: no release, since a check failed ({lines})") from None
            return run.success, failed_checks(instance, run_id)

    success, failed = mended(workspace.root, run_job)
    made = latest(workspace)
    if not success or made is None:
        raise PairwrightError(f"{recipe.dataset}: the build failed; `pairwright ui` shows which step and why")
    return made._replace(fresh=before is None or made.version != before.version, failed_checks=tuple(failed))
