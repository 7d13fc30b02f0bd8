"""Finding recipes: the ones shipped here and those in the folder that PAIRWRIGHT_RECIPES names."""

import logging
import os
from pathlib import Path

from pairwright.pipelines import names
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.reading import load_recipe
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.safe_yaml import read_yaml

SHIPPED = Path(__file__).parent
DEMO = SHIPPED / "demo.yaml"


def find_recipes(folder: Path | None = None) -> list[Recipe]:
    """All recipes of a folder (or the one file), by default the one PAIRWRIGHT_RECIPES names, else the shipped ones.

    A file without `dataset:` is no recipe. A broken recipe is logged and left out, so that it does not take the
    others down. Raises RecipeError when two recipes build the same data set.
    """
    if folder is None:
        folder = Path(os.environ.get("PAIRWRIGHT_RECIPES") or SHIPPED)
    recipes: dict[str, Recipe] = {}
    for path in [folder] if folder.is_file() else sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if not _is_recipe(path):
            continue
        try:
            recipe = load_recipe(path)
        except RecipeError as error:
            logging.getLogger("pairwright").error("left out: %s", error)
            continue
        group = names.group(recipe)  # where Dagster tells no `-` from `_`
        if group in recipes:
            other = recipes[group].path
            raise RecipeError(f"{path} and {other} both build {recipe.dataset!r}; rename one of the data sets")
        recipes[group] = recipe
    return list(recipes.values())


def _is_recipe(path: Path) -> bool:
    try:
        content = read_yaml(path)
    except RecipeError:
        return True  # so that its error is told
    return isinstance(content, dict) and "dataset" in content
