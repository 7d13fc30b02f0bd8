"""The command that says what changed between two versions, and why."""

from pathlib import Path

import click

from pairwright.options import DATA, JSON


@click.command()
@click.argument("old", metavar="V1")
@click.argument("new", metavar="V2")
@click.option("--pairs", "with_pairs", is_flag=True, help="List the pairs that were added, gone and flipped, by id.")
@DATA
@JSON
def diff(old: str, new: str, with_pairs: bool, data: Path, as_json: bool) -> None:
    """Compare two versions: DATASET/v1, a release folder, or v1 where there is one data set only.

    Says which pairs and rankings changed, by what became of their prompts, and what the recipe and the judges had to do
    with it.
    """
    from pairwright import show, show_diff
    from pairwright.assets.releasing.compare import as_json as json_of
    from pairwright.assets.releasing.compare import compare, pairs_by_group
    from pairwright.assets.releasing.versions import resolve

    a, b = resolve(data, old), resolve(data, new)
    found = compare(a, b)
    ids = pairs_by_group(a.path, b.path) if with_pairs else {}
    if as_json:
        show.dump({**json_of(found), **({"pair_ids": ids} if with_pairs else {})})
        return
    show_diff.comparison(found)
    for group, members in ids.items():
        for pair_id in members:
            click.echo(f"{group} {pair_id}")
