"""What the commands print: tables for a person, JSON for a program, progress while it takes long."""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from pairwright.assets.display.progress import Step, listening
from pairwright.assets.display.text import shown
from pairwright.assets.intake.splits import SPLITS
from pairwright.models.estimate import Estimate

if TYPE_CHECKING:  # a command imports what it shows, and not all that others do
    from rich.progress import TaskID

    from pairwright.assets.auditing.failures import Outcome
    from pairwright.assets.releasing.versions import Release
    from pairwright.pipelines.plan import Line, Plan

REASONING = "as many an answer as were seen of the same judge or policy, and 1,000 a guess where none were"
EVERY = 5.0
"""Seconds between two plain lines of one stage."""


@contextmanager
def progress(quiet: bool = False) -> Iterator[None]:
    """Show progress on standard error: bars on a terminal, now and then a line otherwise."""
    if quiet:
        yield
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
        )
        with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bars:
            tasks: dict[str, TaskID] = {}
            started: dict[str, float] = {}

            def bar(step: Step) -> None:
                if step.stage not in tasks:
                    tasks[step.stage] = bars.add_task(step.stage, total=step.total, rate="")
                    started[step.stage] = time.monotonic()
                bars.update(
                    tasks[step.stage],
                    completed=step.done,
                    total=step.total,
                    rate=_rate(step, started[step.stage]),
                )

            with listening(bar):
                yield
    else:
        last: dict[str, float] = {}
        first: dict[str, float] = {}

        def line(step: Step) -> None:
            now = time.monotonic()
            first.setdefault(step.stage, now)
            if step.done == step.total or now - last.get(step.stage, 0.0) >= EVERY:
                last[step.stage] = now
                total = f" / {step.total:,}" if step.total is not None else ""
                click.echo(f"{step.stage}: {step.done:,}{total} {_rate(step, first[step.stage])}".rstrip(), err=True)

        with listening(line):
            yield


def _rate(step: Step, since: float) -> str:
    elapsed = time.monotonic() - since
    rate = f"{step.done / elapsed:,.0f}/s" if elapsed > 0.5 else ""
    return f"{rate} ${step.cost_usd:.2f}".strip() if step.cost_usd else rate


def print_table(table: Table) -> None:
    """A table, as wide as the terminal."""
    Console(soft_wrap=False, width=None if sys.stdout.isatty() else 120).print(table)


def dump(value: Any) -> None:
    """A value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def plan(dataset: str, made: "Plan", as_json: bool) -> None:
    """The plan, a line a judge."""
    if as_json:
        lines = [{"judge": one.judge, "kind": one.kind, **_estimate([one])} for one in made.lines]
        intake = made.intake._asdict()
        del intake["fresh"]
        dump({"dataset": dataset, **intake, "judges": lines, "total": _estimate(made.lines)})
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
    print_table(table)
    if made.total.reasoning_tokens:
        click.echo(f"about {made.total.reasoning_tokens:,} of the tokens are reasoning: {REASONING}")
    click.echo(
        f"to compute: {made.total.verdicts:,} verdicts, ${made.total.cost_usd:,.2f}, {_time(made.total)}"
        + (" and forward passes of a pace that the first build finds out" if _untimed(made.lines) else "")
    )


def _untimed(lines: "Sequence[Line]") -> bool:
    """Whether there are forward passes of a model that has not read anything here yet."""
    return any(one.estimate.passes and not one.estimate.seconds for one in lines)


def _estimate(lines: "Sequence[Line]") -> dict[str, Any]:
    """The sum, as JSON; its time is null where that of some forward passes is not known."""
    total = sum((one.estimate for one in lines), Estimate())
    return {**total._asdict(), "seconds": None if _untimed(lines) else total.seconds}


def _time(estimate: Estimate) -> str:
    """How long it takes; through the Batch API, at most: a server promises a day, and is often done sooner."""
    duration = _duration(estimate.seconds)
    return f"up to {duration} ({estimate.batches:,} × 24 h)" if estimate.batches else duration


def _duration(seconds: float) -> str:
    if seconds < 1:
        return "under 1 s" if seconds else "nothing"
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.0f} h"


def release(made: "Release", answers: "Sequence[Outcome]") -> None:
    """The summary of a build; the folder comes last."""
    table = Table("step", title=f"{made.manifest['dataset']} {made.version}", title_justify="left")
    for name in ("entered", "dropped", "left", "without a value"):
        table.add_column(name, justify="right")
    for step in made.manifest["funnel"]:
        unknown = f"{step['unknown']:,}" if step.get("unknown") else ""
        table.add_row(step["step"], *(f"{step[name]:,}" for name in ("entered", "dropped", "left")), unknown)
    print_table(table)
    _outcomes(answers)
    for one in made.failed_checks:
        kind = "failed check" if one.stops else "warning"
        click.echo(f"{kind}: {one.table}, {one.check.removeprefix('watch_').replace('_', ' ')}: {shown(one.found)}")
    counts = made.manifest["counts"]
    for name in ("pairs", "rankings"):
        splits = [split for split in SPLITS if split != "validation" or counts.get(f"{name}_{split}")]
        click.echo(f"{name}: " + ", ".join(f"{counts[f'{name}_{split}']:,} {split}" for split in splits))
    if counts["rejects"]:
        click.echo(f"rejected rows: {counts['rejects']:,} (rejects.parquet says which and why)")
    if counts.get("notices"):
        click.echo(
            f"rows that repeat a prompt with other attributes: {counts['notices']:,}, their responses are kept "
            "(notices.parquet says which)"
        )
    click.echo("a new version" if made.fresh else "nothing changed: this version holds the same rows")
    click.echo(str(made.path))


def _outcomes(answers: "Sequence[Outcome]") -> None:
    table = Table("answers")
    for name in ("asked", "failed", "abstained", "failures"):
        table.add_column(name, justify="right")
    for one in answers:
        counts = (f"{count:,}" for count in (one.asked, one.failed, one.abstained))
        table.add_row(f"{one.part} {one.name}", *counts, f"{one.share:.1%}")
    print_table(table)


def releases(dataset: str, made: "list[Release]", as_json: bool) -> None:
    """The versions, oldest first."""
    if as_json:
        keys = ("version", "parent", "digest", "counts", "changes")
        dump([{**{key: one.manifest[key] for key in keys}, "path": str(one.path)} for one in made])
        return
    if not made:
        click.echo(f"{dataset} has no release yet; `pairwright build` makes one")
        return
    table = Table("version", "pairs", "rankings", "against its parent", "folder")
    for one in made:
        counts, changes = one.manifest["counts"], one.manifest["changes"]
        changed = ", ".join(f"{count:,} {what}" for what, count in changes.items() if count) if changes else ""
        pairs, rankings = (sum(counts.get(f"{name}_{split}", 0) for split in SPLITS) for name in ("pairs", "rankings"))
        table.add_row(one.version, f"{pairs:,}", f"{rankings:,}", changed, str(one.path))
    print_table(table)


def explanation(found: dict[str, Any], as_json: bool) -> None:
    """Why a pair is in or out."""
    if as_json:
        dump(found)
        return
    click.echo(f"prompt: {shown(found['prompt'][-1]['content'], 600)}\n")
    if "pair_id" not in found:
        for one in found["responses"]:
            _side(f"rank {one['rank']}" if one["rank"] else "not ranked", one)
        for pair in found["pairs"]:
            click.echo(f"pair {pair['pair_id']}: {_verdict(pair)}")
        if not found["pairs"]:
            click.echo("no pair: fewer than two ranked responses, or the best ties with the worst")
        return
    for side in ("chosen", "rejected"):
        _side(side, found[side])
    for one in found.get("filters", []):
        value = "no value" if one["value"] is None else f"{one['value']:.4g}"
        click.echo(f"filter {one['name']}: {value}, {'kept' if one['kept'] else 'dropped'}")
    margin = f"margin {found['margin']:.4g}, " if "margin" in found else ""
    click.echo(f"pair {found['pair_id']} of {found['dataset']}: {margin}{_verdict(found)}")
    click.echo(f"in releases: {', '.join(found['releases']) or 'none'}")


def _side(label: str, one: dict[str, Any]) -> None:
    click.echo(f"{label}: {shown(one['text'], 600)}")
    if "scores" in one:
        scores = ", ".join(f"{k} {'none' if v is None else format(v, '.4g')}" for k, v in one["scores"].items())
        utility = "none" if one["utility"] is None else f"{one['utility']:.4g}"
        why = f" ({shown(one['unranked'])})" if one["unranked"] else ""
        click.echo(f"  by {', '.join(map(shown, one['policies']))}; utility {utility}{why}; scores: {scores}\n")


def _verdict(pair: dict[str, Any]) -> str:
    return "kept" if pair["kept"] else f"dropped: {pair['reason']}"
