"""Running a recipe's job in this process, through the same Dagster assets that the UI shows."""

import os
import uuid
from datetime import datetime
from pathlib import Path

import dagster as dg

from pairwright.assets.face import FailedCheck, failed_checks
from pairwright.assets.relabel import NIGHT
from pairwright.assets.repair import mended
from pairwright.assets.store import Workspace, sweep
from pairwright.assets.versions import Release, latest
from pairwright.pipelines.build import definitions
from pairwright.pipelines.instance import history, use_home
from pairwright.pipelines.names import every_shard, job_name
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def build(recipe: Recipe, data: Path, night: datetime | None = None) -> Release:
    """Build a recipe to a release; the run shows in the UI's history.

    With a `night`, its run also judges again what the recipe's schedule asks for on it.
    Raises PairwrightError with the reason when no release was made.
    """
    os.environ["PAIRWRIGHT_DATA"] = str(data)  # where the job's assets write
    workspace = Workspace.of(recipe, data)
    sweep(workspace.root)
    use_home(data)
    before = latest(workspace)
    tags = every_shard(recipe) | ({NIGHT: night.isoformat()} if night else {})
    job = definitions([recipe]).resolve_job_def(job_name(recipe))

    def run_job() -> tuple[bool, list[FailedCheck]]:
        with history() as instance:
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
