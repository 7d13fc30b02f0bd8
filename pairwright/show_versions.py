"""What the versions of a data set look like."""

import click
from rich.table import Table

from pairwright import show
from pairwright.assets.intake.splits import SPLITS
from pairwright.assets.releasing.versions import Release


def releases(dataset: str, made: list[Release], as_json: bool) -> None:
    """The versions, oldest first."""
    if as_json:
        keys = ("version", "parent", "digest", "counts", "changes")
        show.dump([{**{key: one.manifest[key] for key in keys}, "path": str(one.path)} for one in made])
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
    show.print_table(table)
