"""The stage of a release: not a table but a folder of files, made a shard at a time and committed by its manifest."""

from collections.abc import Sequence

import polars as pl

from pairwright.assets.display import views
from pairwright.assets.pairing.funnel import FunnelStep
from pairwright.assets.releasing.release import release, release_basis
from pairwright.assets.releasing.versions import Release, newest, rows_of
from pairwright.assets.stages.run import Made
from pairwright.assets.stages.stage import AtOnce
from pairwright.assets.stages.view import Check, Finding, View
from pairwright.assets.storage.store import Shard, Workspace
from pairwright.schemas.recipe import Recipe

LEAKAGE = Check("no_leakage", "No prompt is in two splits.", stops=True)
LENGTH = Check("watch_length_bias", "The longer side is chosen in 30 % to 70 % of the pairs.")


def release_stage(recipe: Recipe) -> AtOnce:
    """A version of the data set."""

    def make(workspace: Workspace) -> Made:
        made = release(recipe, workspace)
        files = made.manifest["files"]
        return Made(len(files), sum(one["rows"] for one in files.values())) if made.fresh else Made()

    def shown(workspace: Workspace, shards: Sequence[Shard]) -> list[str]:
        return [newest(workspace).manifest["digest"]]

    def view(workspace: Workspace, shards: Sequence[Shard]) -> View:
        return release_view(newest(workspace))

    return AtOnce.of(
        release_basis(recipe),
        doc="An immutable version: Parquet that trainers read as it is, a dataset card, and a manifest.",
        checks=(LEAKAGE, LENGTH),
        view=view,
        shows=shown,
        make=make,
    )


def release_view(made: Release) -> View:
    """Counts, the funnel, what changed, and the first pairs of a version."""
    pairs = rows_of(made, "pairs")
    size = {side: pl.col(side).list.last().struct.field("content").str.len_chars() for side in ("chosen", "rejected")}
    longer = (size["chosen"] > size["rejected"]).cast(pl.Float64) + (size["chosen"] == size["rejected"]) / 2
    split = pl.col("file").str.extract(r"([a-z]+)-\d+\.parquet$")
    counts = pairs.select(rows=pl.len(), longer=longer.mean()).collect().row(0, named=True)
    leaked = pairs.select("prompt_id", split=split).unique().group_by("prompt_id").len().filter(pl.col("len") > 1)
    steps = [FunnelStep(**step) for step in made.manifest["funnel"]]
    shown = pairs.select("prompt", "chosen", "rejected", "margin").head(views.PREVIEW).collect()
    leaks, share = leaked.collect().height, float(counts["longer"])
    pictures = {
        "funnel": views.funnel_picture(steps),
        "counts": views.table(pl.DataFrame([made.manifest["counts"]])),
        "preview": views.table(shown),
    }
    findings = {
        LEAKAGE.name: Finding(leaks == 0, f"{leaks} prompts in two splits"),
        LENGTH.name: Finding(0.3 <= share <= 0.7, f"chosen is the longer side in {share:.1%}"),
    }
    numbers = {name: int(count) for name, count in made.manifest["counts"].items() if name != "rows"}
    return View({**numbers, "rows": int(counts["rows"]), "longer is chosen": share}, pictures, findings)
