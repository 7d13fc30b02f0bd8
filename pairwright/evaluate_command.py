"""The command that holds judges against human labels."""

from pathlib import Path

import click

from pairwright.options import DATA, JSON, RECIPE, WAIT, say


@click.command()
@RECIPE
@click.option(
    "--gold",
    required=True,
    type=click.Path(path_type=Path),
    help="Pairs with human labels: Parquet, JSON Lines or CSV, found from here or from the recipe's folder.",
)
@click.option("--by", metavar="COLUMN", help="Report each value of a gold column besides the whole.")
@DATA
@WAIT
@JSON
def evaluate(recipe_path: Path, gold: Path, by: str | None, data: Path, wait: float, as_json: bool) -> None:
    """Compare each judge and the jury with human labels, beside longer-wins and a coin on the same pairs.

    A row of gold is a pair: `prompt` (a text or messages), `response_a`, `response_b`, `human_label` (a, b or tie) and,
    where judges read them, `references` and `domain`.
    """
    from pairwright import show, show_evaluation
    from pairwright.assets.auditing.evaluate import as_json as json_of
    from pairwright.assets.auditing.evaluate import evaluate as compare
    from pairwright.schemas.reading import load_recipe

    recipe = load_recipe(recipe_path)
    with show.progress(quiet=as_json):
        found = compare(recipe, gold, data, by, wait, say)
    if as_json:
        click.echo(json_of(found))
    else:
        show_evaluation.evaluation(found)
