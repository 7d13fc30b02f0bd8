"""What the plan looks like: a table for a person, JSON for a program."""

from collections.abc import Sequence
from typing import Any

import click
from rich.table import Table

from pairwright import show
from pairwright.models.estimate import Estimate
from pairwright.pipelines.plan import Line, Plan

REASONING = "as many an answer as were seen of the same judge or policy, and 1,000 a guess where none were"


UNREADABLE = "it does not read what the prompts show (see `input_modalities`), or what the responses consist of"


def plan(dataset: str, made: Plan, as_json: bool) -> None:
    """The plan, a line a judge."""
    if as_json:
        lines = [{"judge": one.judge, "kind": one.kind, **_estimate(one.estimate, [one])} for one in made.lines]
        intake = made.intake._asdict()
        del intake["fresh"]
        show.dump({"dataset": dataset, **intake, "judges": lines, "total": _estimate(made.total, made.lines)})
        return
    counts = made.intake
    click.echo(
        f"{dataset}: {counts.prompts:,} prompts, {counts.responses:,} responses, {counts.rejects:,} rejected rows"
    )
    table = Table("judge", "kind")
    for name in ("verdicts", "calls", "passes", "tokens", "cost", "time"):
        table.add_column(name, justify="right")
    for one in made.lines:
        estimate = one.estimate
        tokens = estimate.prompt_tokens + estimate.completion_tokens
        table.add_row(
            one.judge,
            one.kind,
            *(f"{number:,}" for number in (estimate.verdicts, estimate.calls, estimate.passes, tokens)),
            f"${estimate.cost_usd:,.2f}",
            "not known" if _untimed([one]) else _time(estimate),
        )
    show.print_table(table)
    for one in made.lines:
        if one.estimate.unreadable:
            click.echo(f"{one.judge}: {one.estimate.unreadable:,} more verdicts cannot be given: {UNREADABLE}")
    if made.total.reasoning_tokens:
        click.echo(f"about {made.total.reasoning_tokens:,} of the tokens are reasoning: {REASONING}")
    click.echo(
        f"to compute: {made.total.verdicts:,} verdicts, ${made.total.cost_usd:,.2f}, {_time(made.total)}"
        + (" and forward passes of a pace that the first build finds out" if _untimed(made.lines) else "")
    )


def _untimed(lines: Sequence[Line]) -> bool:
    """Whether there are forward passes of a model that has not read anything here yet."""
    return any(one.estimate.passes and not one.estimate.seconds for one in lines)


def _estimate(total: Estimate, lines: Sequence[Line]) -> dict[str, Any]:
    """What lines come to, as JSON; its time is null where that of some forward passes is not known."""
    return {**total._asdict(), "seconds": None if _untimed(lines) else total.seconds}


def _time(estimate: Estimate) -> str:
    """How long it takes; through the Batch API, at most: a server promises a day, and is often done sooner."""
    duration = _duration(estimate.seconds)
    count = "a batch" if estimate.batches == 1 else f"{estimate.batches:,} batches at once"
    return f"up to {duration} ({count})" if estimate.batches else duration


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s" if seconds else "nothing"
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"
