"""The command that asks a recipe's servers what they can do."""

from pathlib import Path

import click

from pairwright.options import DATA, RECIPE


@click.command()
@RECIPE
@DATA
def doctor(recipe_path: Path, data: Path) -> None:
    """Ask the recipe's servers what they can do, for a few tokens each. Exit code 1 where something must change."""
    from pairwright.pipelines.doctor import examine
    from pairwright.schemas.reading import load_recipe

    checked = examine(load_recipe(recipe_path), data)
    if not checked:
        click.echo("no policy or judge of this recipe calls a server")
    for one in checked:
        click.echo(f"{one.name}: {one.model} at {one.url}")
        width = max([9, *(len(finding.feature) for finding in one.findings)])
        for finding in one.findings:
            click.echo(f"  {finding.feature:<{width}} {finding.state:<8} {finding.detail}".rstrip())
    if not all(one.fit for one in checked):
        raise click.exceptions.Exit(1)
