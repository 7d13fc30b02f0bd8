"""A parent with two workers that is to be ended: `python hold_workers.py RECIPE`, where RECIPE is a file of YAML."""

import contextlib
import sys
import time
from pathlib import Path

from pairwright.pipelines.worker_pool import Pool
from pairwright.schemas.reading import load_recipe

if __name__ == "__main__":
    path = Path(sys.argv[1])
    with contextlib.closing(Pool(load_recipe(path), path.parent / "data", 2)) as pool:
        pool.start(2)
        sys.stdout.write(" ".join(str(worker.process.pid) for worker in pool.workers) + "\n")
        sys.stdout.flush()
        time.sleep(60)
