"""What the difference of two versions looks like."""

from typing import Any

import click

from pairwright.assets.display.text import shown
from pairwright.assets.releasing.compare import Change, Comparison


def comparison(found: Comparison) -> None:
    """The differences, a line each."""
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


def _change(one: Change) -> str:
    old, new = ("not set" if value is None else shown(_text(value), 60) for value in (one.old, one.new))
    return f"{shown(one.what)}: {old} → {new}"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else repr(value)
