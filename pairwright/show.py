"""What the commands print: tables for a person, JSON for a program, progress while it takes long."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from pairwright.assets.display.progress import Step, listening
from pairwright.assets.display.text import shown

EVERY = 5.0
"""Seconds between two plain lines of one stage."""


@contextmanager
def progress(quiet: bool = False) -> Iterator[None]:
    """Show progress on standard error: bars on a terminal, now and then a line otherwise."""
    if quiet:
        yield
    elif sys.stderr.isatty():
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

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


def explanation(found: dict[str, Any], as_json: bool) -> None:
    """Why a pair is in or out."""
    if as_json:
        dump(found)
        return
    click.echo(f"prompt: {shown(found['prompt'][-1]['content'], 600)}\n")
    for line in _beside_the_text(found):
        click.echo(line)
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


def _beside_the_text(found: dict[str, Any]) -> list[str]:
    """What a prompt shows and which tools it carries, a line each."""
    turns = [turn for turn in found.get("typed", []) if not isinstance(turn["content"], str)]
    parts = [part for turn in turns for part in turn["content"] if part["type"] != "text"]
    lines = [f"{part['type']}: {shown(part.get('media', part.get('url', '')), 200)}" for part in parts]
    names = [one["function"]["name"] for one in found.get("tools", [])]
    return [*lines, *([f"tools: {shown(', '.join(names), 200)}"] if names else [])]


def _side(label: str, one: dict[str, Any]) -> None:
    click.echo(f"{label}: {shown(one['text'], 600)}")
    for call in one.get("tool_calls", []):
        click.echo(
            f"  calls {shown(call['name'], 60)}({shown(json.dumps(call['arguments'], ensure_ascii=False), 300)})"
        )
    if "reasoning" in one:
        click.echo(f"  after reasoning of {len(one['reasoning']):,} characters: {shown(one['reasoning'], 200)}")
    if "scores" in one:
        scores = ", ".join(f"{k} {'none' if v is None else format(v, '.4g')}" for k, v in one["scores"].items())
        utility = "none" if one["utility"] is None else f"{one['utility']:.4g}"
        why = f" ({shown(one['unranked'])})" if one["unranked"] else ""
        click.echo(f"  by {', '.join(map(shown, one['policies']))}; utility {utility}{why}; scores: {scores}\n")


def _verdict(pair: dict[str, Any]) -> str:
    return "kept" if pair["kept"] else f"dropped: {pair['reason']}"
