"""The command that does by hand what the nightly schedule does."""

from datetime import UTC, datetime
from pathlib import Path

import click

from pairwright.options import DATA, RECIPE, WAIT, WORKERS, say


@click.command()
@RECIPE
@DATA
@WAIT
@WORKERS
def relabel(recipe_path: Path, data: Path, wait: float, workers: int | None) -> None:
    """Bring a data set up to date and judge a share of its verdicts again, as the recipe's `schedule` says."""
    from pairwright import show, show_release
    from pairwright.assets.auditing.failures import outcomes
    from pairwright.assets.auditing.relabel import last_night
    from pairwright.assets.storage.store import Workspace
    from pairwright.pipelines.processes import cores
    from pairwright.pipelines.run import build
    from pairwright.schemas.errors import RecipeError
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    if recipe.schedule is None:
        raise RecipeError(f"{recipe_path} has no `schedule:`; relabelling wants one with `relabel:` in it")
    with show.progress():
        made = build(recipe, data, night=datetime.now(UTC), wait=wait, say=say, workers=workers or cores())
    for one in (last_night(Workspace.of(recipe, data)) or {"drift": []})["drift"]:
        agreement = "" if one["agreement"] is None else f", {one['agreement']:.1%} of {one['compared']:,} orders agree"
        click.echo(f"{one['judge']}: {one['judged_again']:,} judged again{agreement}, {one['flipped']:,} flipped")
    show_release.release(made, outcomes(recipe, Workspace.of(recipe, data)))
