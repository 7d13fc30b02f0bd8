"""A parent with two workers that is to be killed: `python hold_workers.py FOLDER`, which holds rows.jsonl."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import recipe_of

from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.processes import Processes

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    recipe = recipe_of(folder, "rows.jsonl", judges=[{"kind": "length"}])
    runner = Processes(recipe, Workspace.of(recipe, folder / "data"), 2)
    sys.stdout.write(" ".join(str(worker.process.pid) for worker in runner._started(2)) + "\n")
    sys.stdout.flush()
    time.sleep(60)
