"""Running a recipe's job in this process, through the same Dagster assets that the UI shows."""

from pathlib import Path

import dagster as dg

from pairwright.assets.release import Release, latest
from pairwright.assets.store import Workspace, sweep
from pairwright.pipelines.build import definitions, every_shard, job_name
from pairwright.pipelines.instance import use_home
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def build(recipe: Recipe, data: Path) -> Release:
    """Build a recipe to a release; the run shows in the UI's history.

    Raises PairwrightError with the reason when no release was made.
    """
    workspace = Workspace.of(recipe, data)
    sweep(workspace.root)
    use_home(data)
    before = latest(workspace)
    job = definitions([recipe]).resolve_job_def(job_name(recipe))
    with dg.DagsterInstance.get() as instance:
        run = job.execute_in_process(instance=instance, tags=every_shard(recipe), run_config=QUIET)
    made = latest(workspace)
    if not run.success or made is None:
        raise PairwrightError(f"{recipe.dataset}: the build failed; `pairwright ui` shows which step and why")
    return made._replace(fresh=before is None or made.version != before.version)
