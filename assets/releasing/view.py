"""What people see of a version in the UI."""

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.pairing.funnel import FunnelStep
from pairwright.assets.releasing.versions import Release, rows_of, scan_release


def release_view(made: Release) -> dict[str, str]:
    """Counts, the checks, the funnel, and the first pairs of a version."""
    steps = [FunnelStep(**step) for step in made.manifest["funnel"]]
    pairs = scan_release(made.path, "pairs") if made.fresh else rows_of(made, "pairs")
    shown = pairs.select("prompt", "chosen", "rejected", "margin").head(views.PREVIEW).collect()
    checks = pl.DataFrame([one._asdict() for one in made.checks])
    return {
        "checks": views.table(checks),
        "funnel": views.funnel_picture(steps),
        "counts": views.table(pl.DataFrame([made.manifest["counts"]])),
        "preview": views.table(shown),
    }
