"""The command line. Each command is a thin layer: it reads the recipe, calls one function, and prints."""

import atexit
import errno
import gc
import io
import os
import sys
from pathlib import Path
from typing import Any

import click

from pairwright import __version__
from pairwright.diff_command import diff
from pairwright.doctor_command import doctor
from pairwright.evaluate_command import evaluate
from pairwright.export_command import export, push
from pairwright.options import DATA, JSON, RECIPE, WAIT, WORKERS, say
from pairwright.relabel_command import relabel
from pairwright.schemas.errors import PairwrightError

MEMORY = {"_RJEM_MALLOC_CONF": "dirty_decay_ms:1000,muzzy_decay_ms:-1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
"""Settings of the allocators of polars and Arrow, which look at them when they are loaded: polars' own give memory back
after half a second, and a build then has page faults on getting it anew. What is set already stays."""
for _name, _setting in MEMORY.items():
    os.environ.setdefault(_name, _setting)
gc.set_threshold(50_000)  # at the usual 700, going over all that was imported takes a fifth of a short command
atexit.register(gc.freeze)  # or the last round of the garbage collector goes over all modules, for a tenth of a second


class _Commands(click.Group):
    """Prints a PairwrightError, or what the system has against a file, as one line and exits with 1.

    Anything else is a bug and keeps its traceback.
    """

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run, with the output's characters that a terminal's or pipe's encoding lacks spelt out."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper) and stream.encoding.lower().replace("-", "") != "utf8":
                stream.reconfigure(errors="backslashreplace")
        return super().main(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PairwrightError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        except OSError as error:
            if error.filename is None or error.errno == errno.EPIPE:
                raise
            click.echo(f"error: {os.fsdecode(error.filename)}: {error.strerror}", err=True)
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
@click.option(
    "--from",
    "source",
    metavar="SOURCE",
    help="Write the recipe for this file, folder or hf://org/name, by what its columns look like.",
)
def init(folder: Path, source: str | None) -> None:
    """Write a recipe to start from, its JSON Schema and a few example prompts; or one for data that you have."""
    from pairwright.pipelines.start import start
    from pairwright.pipelines.start_from import start_from

    for path in start(folder) if source is None else start_from(folder, source):
        click.echo(f"wrote {path}")
    click.echo(f"next: pairwright build {folder / 'recipe.yaml'}")


@main.command()
@RECIPE
@DATA
@JSON
def plan(recipe_path: Path, data: Path, as_json: bool) -> None:
    """Show what a build would compute: calls, tokens, cost and time. Spends nothing but a few tokens, where
    the recipe asks for something that not every server takes and this one was not yet asked."""
    from pairwright import show, show_plan
    from pairwright.assets.storage.store import Workspace
    from pairwright.pipelines.plan import plan as make_plan
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    with show.progress(quiet=as_json):
        made = make_plan(recipe, Workspace.of(recipe, data))
    show_plan.plan(recipe.dataset, made, as_json)


@main.command()
@RECIPE
@DATA
@WAIT
@WORKERS
def build(recipe_path: Path, data: Path, wait: float, workers: int | None) -> None:
    """Make everything that is missing, up to a release; the last line is the release's folder."""
    from pairwright import show, show_release
    from pairwright.assets.auditing.failures import outcomes
    from pairwright.assets.storage.store import Workspace
    from pairwright.pipelines.processes import cores
    from pairwright.pipelines.run import build as run_build
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    with show.progress():
        made = run_build(recipe, data, wait=wait, say=say, workers=workers or cores())
    show_release.release(made, outcomes(recipe, Workspace.of(recipe, data)))


@main.command()
@RECIPE
@DATA
@JSON
def releases(recipe_path: Path, data: Path, as_json: bool) -> None:
    """List the versions of a recipe's data set."""
    from pairwright import show_versions
    from pairwright.assets.releasing.versions import versions
    from pairwright.assets.storage.store import Workspace
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    show_versions.releases(recipe.dataset, versions(Workspace.of(recipe, data)), as_json)


@main.command()
@click.argument("pair_id", metavar="PAIR_ID")
@DATA
@JSON
def explain(pair_id: str, data: Path, as_json: bool) -> None:
    """Say why a pair is in or out (or, for a prompt's id, why it has the pairs it has)."""
    from pairwright import show
    from pairwright.assets.releasing.explain import explain as find_out

    show.explanation(find_out(pair_id, data), as_json)


@main.command()
@click.argument("recipes", required=False, type=click.Path(path_type=Path, exists=True))
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--read-only", is_flag=True, help="For looking only: nothing can be started from it.")
@click.option(
    "--definitions",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A Python file of your own with `defs`, in which the recipes are merged with assets of yours.",
)
@DATA
def ui(recipes: Path | None, port: int, read_only: bool, definitions: Path | None, data: Path) -> None:
    """Open the Dagster UI on 127.0.0.1 for a recipe or a folder of them (else PAIRWRIGHT_RECIPES, else the demo)."""
    from pairwright.pipelines.instance import use_home
    from pairwright.pipelines.serve import serve

    if recipes is not None:
        os.environ["PAIRWRIGHT_RECIPES"] = str(recipes.resolve())
    os.environ["PAIRWRIGHT_DATA"] = str(data.resolve())
    use_home(data)
    serve(port, read_only, definitions)


for command in (diff, doctor, evaluate, export, push, relabel):
    main.add_command(command)
