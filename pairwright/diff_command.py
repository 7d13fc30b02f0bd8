"""The command that says what changed between two versions, and why."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pairwright.options import DATA, JSON

if TYPE_CHECKING:
    from pairwright.assets.releasing.compare import Change, Comparison


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
    from pairwright import show
    from pairwright.assets.releasing.compare import as_json as json_of
    from pairwright.assets.releasing.compare import compare, pairs_by_group
    from pairwright.assets.releasing.versions import resolve

    a, b = resolve(data, old), resolve(data, new)
    found = compare(a, b)
    ids = pairs_by_group(a.path, b.path) if with_pairs else {}
    if as_json:
        show.dump({**json_of(found), **({"pair_ids": ids} if with_pairs else {})})
        return
    _print(found)
    for group, members in ids.items():
        for pair_id in members:
            click.echo(f"{group} {pair_id}")


def _print(found: "Comparison") -> None:
    click.echo(f"{found.old} → {found.new}: {_counted(found.pairs)}")
    for group, why in found.causes.items():
        if why:
            click.echo(f"  {group}: {_counted(why)}")
    click.echo(f"rankings: {_counted(found.rankings)}")
    for title, changes in (("recipe", found.recipe), ("judge", found.judges), ("source", found.counts)):
        for one in changes:
            click.echo(f"{title} {_change(one)}")
    if not (found.recipe or found.judges or found.counts):
        click.echo("the recipe, the judges and what the sources hold are the same in number and name")


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {what}" for what, count in counts.items())


def _change(one: "Change") -> str:
    from pairwright.assets.display.text import shown

    old, new = ("not set" if value is None else shown(_text(value), 60) for value in (one.old, one.new))
    return f"{shown(one.what)}: {old} → {new}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else repr(value)
