"""The build that the kill test kills: `python resume.py RECIPE DATA`, in the form of a program of its own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import build

from pairwright.assets.storage.build_lock import building
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.reading import load_recipe

if __name__ == "__main__":
    recipe, data = load_recipe(sys.argv[1]), Path(sys.argv[2])
    sys.stdout.write("ready\n")  # imports are done: from here on a kill hits work
    sys.stdout.flush()
    with building(Workspace.of(recipe, data), "the test's build", recipe.path):
        build(recipe, data)
