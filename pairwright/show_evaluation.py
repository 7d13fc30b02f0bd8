"""What `pairwright evaluate` prints: how each judge and the jury agree with human labels."""

from collections.abc import Mapping, Sequence

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from pairwright import show
from pairwright.assets.auditing.agreement import Agreement, Difference
from pairwright.assets.auditing.evaluate import Evaluation
from pairwright.assets.display.text import shown

REASONS = 3
"""Reasons that are told of one judge."""
PEOPLE = 20
"""Annotators that are told; JSON has all."""


def evaluation(found: Evaluation) -> None:
    """The tables of an evaluation."""
    left_out = sum(found.left_out.values())
    click.echo(
        f"{found.gold.name}: {found.rows:,} rows, {found.used:,} pairs used, {found.tied:,} labelled tie, "
        f"{left_out:,} left out{_why(found.left_out)}"
    )
    click.echo(f"read as {found.shape}; intervals of 95 % by a bootstrap over prompts")
    for group in dict.fromkeys(one.group for one in found.agreements):
        rows = [one for one in found.agreements if one.group == group]
        ceiling = [found.between] if found.between and group is None else []
        _table([*rows, *ceiling], group)
        _compared(rows)
    _people(found)
    _filters(found)
    for one in found.agreements:
        if one.left_out and one.group is None:
            click.echo(f"{one.judge}: {sum(one.left_out.values()):,} pairs not scored{_why(one.left_out)}")


def _table(rows: Sequence[Agreement], group: str | None) -> None:
    names = ("agreement", "95 %", "longer wins there", "a coin there", "pairs", "ties", "not scored")
    lines = []
    for one in rows:
        unscored = sum(one.left_out.values())
        if not one.n:
            lines.append([one.judge, "none scored", *[""] * 5, f"{unscored:,}"])
            continue
        figures = [f"{one.agreement:.1%}", f"{one.low:.1%} to {one.high:.1%}"]
        figures += [_share(share) for share in (one.longer_wins, one.random)]
        figures += [f"{number:,}" for number in (one.n, one.ties, unscored, one.prompts)]
        lines.append([one.judge, *figures, *(_share(step.agreement) for step in one.by_margin[1:])])
    title = None if group is None else shown(group)
    _print_table(["judge", *names, "prompts", "surest 75 %", "50 %", "25 %"], lines, title)


def _compared(rows: Sequence[Agreement]) -> None:
    """Each judge against longer-wins and against the best judge, on the same pairs."""
    lines = [
        [one.judge, _share(one.picks_longer), *_difference(one.against_longer), *_difference(one.against_best)]
        for one in rows
        if one.against_longer and one.judge != "random"
    ]
    best = next((one.against_best.than for one in rows if one.against_best), "the best judge")
    if lines:
        names = ["judge", "picks the longer", "over longer-wins", "95 %", f"over {best}", "95 %"]
        _print_table(names, lines, None)


def _people(found: Evaluation) -> None:
    """A line an annotator: how the others and the judges agree with their labels."""
    if not found.annotators:
        return
    most = sorted(found.annotators, key=lambda one: (-one.labels, one.annotator))
    lines = [
        [
            shown(one.annotator, 40),
            f"{one.labels:,}",
            _share(one.with_others.agreement) if one.with_others else "",
            *(_share(judge.agreement) for judge in one.agreements),
        ]
        for one in most[:PEOPLE]
    ]
    judges = [judge.judge for judge in found.annotators[0].agreements]
    _print_table(["labels of", "pairs", "other annotators", *judges], lines, "agreement with each annotator")
    if len(most) > PEOPLE:
        click.echo(f"and {len(most) - PEOPLE:,} more annotators; --json has all")


def _filters(found: Evaluation) -> None:
    """A line a filter: what it leaves, and whether agreement rises."""
    if not found.filters:
        return
    judges = [one.judge for one in found.filters[0].agreements]
    lines = [
        [
            step.filter,
            *(f"{number:,}" for number in (step.entered, step.left, step.unknown)),
            *(_share(one.agreement) for one in step.agreements),
            *_difference(step.change),
        ]
        for step in found.filters
    ]
    names = ["filter", "pairs", "left", "no value", *judges, "jury's change", "95 %"]
    _print_table(names, lines, "agreement after each filter, on the pairs that the jury orders")


def _share(share: float) -> str:
    return "" if share != share else f"{share:.1%}"


def _difference(one: Difference | None) -> list[str]:
    return ["", ""] if one is None else [f"{one.difference:+.1%}", f"{one.low:+.1%} to {one.high:+.1%}"]


def _print_table(names: Sequence[str], lines: Sequence[Sequence[str]], title: str | None) -> None:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=title)
    table.title_justify = "left"
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place == 0 else "right", no_wrap=place == 0 or name == "95 %")
    for line in lines:
        table.add_row(*line)
    show.print_table(table)


def _why(reasons: Mapping[str, int]) -> str:
    """The most frequent reasons, in brackets."""
    most = sorted(reasons.items(), key=lambda one: -one[1])
    told = [f"{count:,}: {shown(reason, 120)}" for reason, count in most[:REASONS]]
    if len(most) > REASONS:
        told.append(f"{sum(count for _, count in most[REASONS:]):,} for other reasons")
    return f" ({'; '.join(told)})" if told else ""
