"""What an evaluation against human labels looks like."""

from collections.abc import Mapping

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pairwright import show
from pairwright.assets.auditing.agreement import Agreement
from pairwright.assets.auditing.evaluate import Evaluation
from pairwright.assets.display.text import shown

REASONS = 3
"""Reasons that are told of one judge."""


def evaluation(found: Evaluation) -> None:
    """Agreement with gold, a line a judge, and what was left out."""
    left_out = sum(found.left_out.values())
    click.echo(
        f"{found.gold.name}: {found.rows:,} rows, {found.used:,} pairs used, {found.tied:,} labelled tie, "
        f"{left_out:,} left out{_why(found.left_out)}"
    )
    for group in dict.fromkeys(one.group for one in found.agreements):
        _table([one for one in found.agreements if one.group == group], group)
    for one in found.agreements:
        if one.left_out and one.group is None:
            click.echo(f"{one.judge}: {sum(one.left_out.values()):,} pairs not scored{_why(one.left_out)}")


def _table(rows: list[Agreement], group: str | None) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=None if group is None else shown(group))
    table.title_justify = "left"
    table.add_column("judge", no_wrap=True)
    names = ("agreement", "95 %", "longer wins there", "a coin there", "pairs", "ties", "not scored")
    for name in (*names, "prompts", "surest 75 %", "50 %", "25 %"):
        table.add_column(name, justify="right", no_wrap=name in ("agreement", "95 %"))
    for one in rows:
        unscored = sum(one.left_out.values())
        if not one.n:
            table.add_row(one.judge, "none scored", *[""] * 5, f"{unscored:,}", *[""] * 4)
            continue
        table.add_row(
            one.judge,
            f"{one.agreement:.1%}",
            f"{one.low:.1%} to {one.high:.1%}",
            *(f"{share:.1%}" for share in (one.longer_wins, one.random)),
            *(f"{number:,}" for number in (one.n, one.ties, unscored, one.prompts)),
            *(f"{step.agreement:.1%}" for step in one.by_margin[1:]),
        )
    show.print_table(table)


def _why(reasons: Mapping[str, int]) -> str:
    """The most frequent reasons, in brackets."""
    most = sorted(reasons.items(), key=lambda one: -one[1])
    told = [f"{count:,}: {shown(reason, 120)}" for reason, count in most[:REASONS]]
    if len(most) > REASONS:
        told.append(f"{sum(count for _, count in most[REASONS:]):,} for other reasons")
    return f" ({'; '.join(told)})" if told else ""
