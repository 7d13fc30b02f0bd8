"""The command line. Each command is a thin layer: it reads the recipe, calls one function, and prints."""

import os
from pathlib import Path
from typing import Any

import click

from pairwright import __version__
from pairwright.doctor_command import doctor
from pairwright.export_command import export, push
from pairwright.options import DATA, RECIPE, WAIT, say
from pairwright.relabel_command import relabel
from pairwright.schemas.errors import PairwrightError

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


class _Commands(click.Group):
    """Prints a PairwrightError as one line and exits with 1; anything else is a bug and keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PairwrightError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("stopped; finished work is kept, and the next build goes on from there", err=True)
            ctx.exit(130)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pairwright")
def main() -> None:
    """Builds preference datasets for post-training from one recipe."""


@main.command()
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def init(folder: Path) -> None:
    """Write a recipe to start from, its JSON Schema and a few example prompts."""
    from pairwright.pipelines.start import start

    for path in start(folder):
        click.echo(f"wrote {path}")
    click.echo(f"next: pairwright build {folder / 'recipe.yaml'}")


@main.command()
@RECIPE
@DATA
@JSON
def plan(recipe_path: Path, data: Path, as_json: bool) -> None:
    """Show what a build would compute: calls, tokens, cost and time. Spends nothing."""
    from pairwright import show
    from pairwright.assets.store import Workspace
    from pairwright.pipelines.plan import plan as make_plan
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    with show.progress(quiet=as_json):
        made = make_plan(recipe, Workspace.of(recipe, data))
    show.plan(recipe.dataset, made, as_json)


@main.command()
@RECIPE
@DATA
@WAIT
def build(recipe_path: Path, data: Path, wait: float) -> None:
    """Make everything that is missing, up to a release; the last line is the release's folder."""
    from pairwright import show
    from pairwright.pipelines.run import build as run_build
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    with show.progress():
        made = run_build(recipe, data, wait=wait, say=say)
    show.release(made)


@main.command()
@RECIPE
@DATA
@JSON
def releases(recipe_path: Path, data: Path, as_json: bool) -> None:
    """List the versions of a recipe's data set."""
    from pairwright import show
    from pairwright.assets.store import Workspace
    from pairwright.assets.versions import versions
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    show.releases(recipe.dataset, versions(Workspace.of(recipe, data)), as_json)


@main.command()
@click.argument("old", metavar="V1")
@click.argument("new", metavar="V2")
@DATA
@JSON
def diff(old: str, new: str, data: Path, as_json: bool) -> None:
    """Compare two versions: DATASET/v1, a release folder, or v1 where there is one data set only."""
    from pairwright import show
    from pairwright.assets.changes import difference
    from pairwright.assets.versions import resolve

    a, b = resolve(data, old), resolve(data, new)
    show.diff(a.version, b.version, difference(a.path, b.path), as_json)


@main.command()
@click.argument("pair_id", metavar="PAIR_ID")
@DATA
@JSON
def explain(pair_id: str, data: Path, as_json: bool) -> None:
    """Say why a pair is in or out (or, for a prompt's id, why it has the pairs it has)."""
    from pairwright import show
    from pairwright.assets.explain import explain as find_out

    show.explanation(find_out(pair_id, data), as_json)


@main.command()
@RECIPE
@click.option("--gold", required=True, type=click.Path(path_type=Path), help="Pairs with human labels.")
@click.option("--by", metavar="COLUMN", help="Report each value of a gold column besides the whole.")
@DATA
@WAIT
@JSON
def evaluate(recipe_path: Path, gold: Path, by: str | None, data: Path, wait: float, as_json: bool) -> None:
    """Compare each judge and the jury with human labels, beside longer-wins and a coin."""
    from pairwright import show
    from pairwright.assets.evaluate import evaluate as compare
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    with show.progress(quiet=as_json):
        results = compare(recipe, gold, data, by, wait, say)
    show.agreements(results, as_json)


@main.command()
@click.argument("recipes", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@DATA
def ui(recipes: Path | None, port: int, data: Path) -> None:
    """Open the Dagster UI on 127.0.0.1 for a recipe or a folder of them (else PAIRWRIGHT_RECIPES, else the demo)."""
    from pairwright.pipelines.instance import use_home
    from pairwright.pipelines.serve import serve

    if recipes is not None:
        os.environ["PAIRWRIGHT_RECIPES"] = str(recipes.resolve())
    os.environ["PAIRWRIGHT_DATA"] = str(data.resolve())
    use_home(data)
    serve(port)


for command in (doctor, export, push, relabel):
    main.add_command(command)
