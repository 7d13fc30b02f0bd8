"""Options that several commands share."""

from pathlib import Path
from typing import Any

import click

DATA = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default="data",
    show_default=True,
    envvar="PAIRWRIGHT_DATA",
    help="Folder of all tables and releases.",
)


class _Seconds(click.FloatRange):
    """Seconds to wait; `--wait` takes the next word for them, so a wrong one says where it belongs."""

    name = "seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is no number of seconds; put --wait last, or write --wait=600", param, ctx)


def say(line: str) -> None:
    """Print a line that is no result."""
    click.echo(line, err=True)


WAIT = click.option(
    "--wait",
    is_flag=False,
    flag_value="inf",
    default=0.0,
    type=_Seconds(min=0),
    metavar="[SECONDS]",
    help="Wait while another builds the data set, instead of stopping; without a number, as long as it takes.",
)
WORKERS = click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=None,
    envvar="PAIRWRIGHT_WORKERS",
    help="Processes that make shards at the same time; by default one for each core, at most one for each shard.",
)
RECIPE = click.argument("recipe_path", metavar="RECIPE", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
