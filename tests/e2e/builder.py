"""A process that builds on demand, so that several can be set off at once: `python builder.py`, one JSON task a line.

A task names `recipe`, `data`, and `how`: as the command does, or as a run of the UI does. It answers with a line, too.
"""

import itertools
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from pairwright.assets.releasing.versions import newest
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.build import definitions
from pairwright.pipelines.instance import use_home
from pairwright.pipelines.names import every_shard, job_name
from pairwright.pipelines.plan import plan
from pairwright.pipelines.run import QUIET, build
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.reading import load_recipe
from pairwright.schemas.recipe import Recipe


def run(recipe: Recipe, data: Path) -> str:
    """What Dagster's process for a run does: nothing but the job itself."""
    os.environ["PAIRWRIGHT_DATA"] = str(data)
    use_home(data)
    job = definitions([recipe]).resolve_job_def(job_name(recipe))
    with dg.DagsterInstance.get() as instance:
        job.execute_in_process(instance=instance, tags=every_shard(recipe), run_config=QUIET)
    return newest(Workspace.of(recipe, data)).version


def done(task: dict[str, Any]) -> str:
    recipe, data, options = load_recipe(Path(task["recipe"])), Path(task["data"]), task.get("options", {})
    if task["how"] == "run":
        return run(recipe, data)
    if task["how"] == "plan":
        return str(plan(recipe, Workspace.of(recipe, data)).total.calls)
    return build(recipe, data, datetime.now(UTC) if task["how"] == "relabel" else None, **options).version


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """What became of a task: what is done, an error that a user can mend, or a crash."""
    try:
        return {"done": done(task)}
    except PairwrightError as error:
        return {"error": str(error)}
    except Exception as error:
        return {"crash": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # nobody else may answer
    for line in itertools.chain([""], sys.stdin):
        out.write(json.dumps(answer(json.loads(line)) if line else {"ready": True}) + "\n")
        out.flush()
