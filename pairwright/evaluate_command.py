"""The command that holds judges against human labels."""

from collections.abc import Sequence
from pathlib import Path

import click

from pairwright.options import DATA, JSON, RECIPE, WAIT, say


@click.command()
@RECIPE
@click.option(
    "--gold",
    required=True,
    type=click.Path(path_type=Path),
    help="Labelled responses: Parquet, JSON Lines or CSV, found from here or from the recipe's folder.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="OURS=THEIRS",
    help="A column of gold by another name, as label=winner or scores.rm=reward; several times for several.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="VALUE=a|b|tie",
    help="What a value of the label's column means, as better=a; then no other value means anything.",
)
@click.option("--by", metavar="COLUMN", help="Report each value of a gold column besides the whole.")
@click.option(
    "--differences",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the pairs on which judges and gold differ most, with their texts: a .parquet or .jsonl file.",
)
@DATA
@WAIT
@JSON
def evaluate(
    recipe_path: Path,
    gold: Path,
    columns: Sequence[str],
    labels: Sequence[str],
    by: str | None,
    differences: Path | None,
    data: Path,
    wait: float,
    as_json: bool,
) -> None:
    """Compare each judge and the jury with human labels, beside longer-wins and a coin on the same pairs.

    A row of gold is one of these; columns of the usual names are found, others are named by --column.

    \b
    a labelled pair   prompt, response_a, response_b, human_label
                      (a, b, tie; 1, 2; model_a, model_b; others by --label),
                      and annotator where several people label a pair
    a chosen side     chosen, rejected, and prompt unless both are
                      conversations that begin alike
    scored responses  prompt, and response with score, or responses with
                      scores or ranks, a list each; completions

    Texts or messages alike. Where judges read them, references and domain stand beside.
    """
    from pairwright import show, show_evaluation
    from pairwright.assets.auditing.disagreements import check_ending, write_pairs
    from pairwright.assets.auditing.evaluate import as_json as json_of
    from pairwright.assets.auditing.evaluate import evaluate as compare
    from pairwright.assets.auditing.gold_columns import Choice, columns_from
    from pairwright.schemas.reading import load_recipe

    if differences is not None:
        check_ending(differences)
    choice = Choice(columns_from(columns, labels), by)
    recipe = load_recipe(recipe_path)
    with show.progress(quiet=as_json):
        found = compare(recipe, gold, data, choice, wait, say)
    if differences is not None:
        write_pairs(found.differences, differences)
        say(f"wrote {found.differences.height:,} pairs to {differences}")
    if as_json:
        click.echo(json_of(found))
    else:
        show_evaluation.evaluation(found)
