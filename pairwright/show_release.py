"""What a build has come to: a release, and the answers behind it."""

from collections.abc import Sequence

import click
from rich.table import Table

from pairwright import show
from pairwright.assets.auditing.failures import Outcome
from pairwright.assets.display.text import shown
from pairwright.assets.intake.splits import SPLITS
from pairwright.assets.releasing.versions import Release


def release(made: Release, answers: Sequence[Outcome]) -> None:
    """The summary of a build; the folder comes last."""
    table = Table("step", title=f"{made.manifest['dataset']} {made.version}", title_justify="left")
    for name in ("entered", "dropped", "left", "without a value"):
        table.add_column(name, justify="right")
    for step in made.manifest["funnel"]:
        unknown = f"{step['unknown']:,}" if step.get("unknown") else ""
        table.add_row(step["step"], *(f"{step[name]:,}" for name in ("entered", "dropped", "left")), unknown)
    show.print_table(table)
    _outcomes(answers)
    for one in made.failed_checks:
        kind = "failed check" if one.stops else "warning"
        click.echo(f"{kind}: {one.table}, {one.check.removeprefix('watch_').replace('_', ' ')}: {shown(one.found)}")
    if checks := made.manifest.get("checks"):
        passed = sum(one["passed"] for one in checks)
        click.echo(f"checks of the release: {passed} of {len(checks)} passed (its README.md says what each found)")
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


def _outcomes(answers: Sequence[Outcome]) -> None:
    table = Table("answers")
    for name in ("asked", "failed", "abstained", "failures"):
        table.add_column(name, justify="right")
    for one in answers:
        counts = (f"{count:,}" for count in (one.asked, one.failed, one.abstained))
        table.add_row(f"{one.part} {one.name}", *counts, f"{one.share:.1%}")
    show.print_table(table)
