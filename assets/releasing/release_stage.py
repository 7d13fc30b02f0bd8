"""The stage of a release: not a table but a folder of files, made a shard at a time and committed by its manifest."""

from collections.abc import Sequence

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.pairing.funnel import FunnelStep
from pairwright.assets.releasing.checks import CHECKS, findings
from pairwright.assets.releasing.release import last_checks, release, release_basis
from pairwright.assets.releasing.release_parts import spread
from pairwright.assets.releasing.versions import Release, newest, rows_of, scan_release
from pairwright.assets.stages.run import Made, Run
from pairwright.assets.stages.stage import AtOnce
from pairwright.assets.stages.view import View
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe


def release_stage(recipe: Recipe) -> AtOnce:
    """A version of the data set."""
    fresh: list[Release] = []  # written a moment ago: nobody has to read it again to know that it is whole

    def make(workspace: Workspace, run: Run) -> Made:
        made = release(recipe, workspace, spread(run.runner))
        fresh[:] = [made] if made.fresh else []
        files = made.manifest["files"]
        return Made(len(files), sum(one["rows"] for one in files.values())) if made.fresh else Made()

    def latest(workspace: Workspace) -> Release:
        made = newest(workspace)._replace(checks=last_checks(workspace.releases))
        return made._replace(fresh=[one.path for one in fresh] == [made.path])

    def shown(workspace: Workspace, shards: Sequence[Shard]) -> list[str]:
        made = latest(workspace)
        return [made.manifest["digest"], fingerprint(made.checks)]

    def view(workspace: Workspace, shards: Sequence[Shard]) -> View:
        return release_view(latest(workspace))

    return AtOnce.of(
        release_basis(recipe),
        doc="An immutable version: Parquet that trainers read as it is, a dataset card, and a manifest.",
        checks=CHECKS,
        view=view,
        shows=shown,
        make=make,
    )


def release_view(made: Release) -> View:
    """Counts, how the checks came out, the funnel, and the first pairs of a version."""
    counts = made.manifest["counts"]
    pairs = scan_release(made.path, "pairs") if made.fresh else rows_of(made, "pairs")
    shown = pairs.select("prompt", "chosen", "rejected", "margin").head(views.PREVIEW).collect()
    checks = pl.DataFrame([one._asdict() for one in made.checks])
    pictures = {
        "funnel": views.funnel_picture([FunnelStep(**step) for step in made.manifest["funnel"]]),
        "checks": views.table(checks, most=checks.height),
        "counts": views.table(pl.DataFrame([counts])),
        "preview": views.table(shown),
    }
    rows = sum(one["rows"] for name, one in made.manifest["files"].items() if name.startswith("pairs/"))
    numbers = {name: int(count) for name, count in counts.items() if name != "rows"}
    return View({**numbers, "rows": rows}, pictures, findings(made.checks))
