"""Options that several commands share."""

from pathlib import Path

import click

DATA = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default="data",
    show_default=True,
    envvar="PAIRWRIGHT_DATA",
    help="Folder of all tables and releases.",
)
RECIPE = click.argument("recipe_path", metavar="RECIPE", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
