"""Releases: immutable versions of a data set, written aside and renamed whole, and only when rows have changed."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from pairwright import __version__
from pairwright.assets import face, likelihood, views
from pairwright.assets.card import card
from pairwright.assets.changes import causes, difference
from pairwright.assets.pair import FunnelStep, funnel, paired
from pairwright.assets.prefer import preferred
from pairwright.assets.progress import tell
from pairwright.assets.rank import ranked
from pairwright.assets.relabel import last_night
from pairwright.assets.release_rows import pairs, rankings
from pairwright.assets.replies import costs
from pairwright.assets.rolling import SplitWriter
from pairwright.assets.route import routers_of
from pairwright.assets.sample import policies_of
from pairwright.assets.splits import assign_splits
from pairwright.assets.store import Shard, Workspace, version_of
from pairwright.assets.verdicts import judges_of
from pairwright.assets.versions import Release, latest
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.files import commit, locked, replacing, scratch_folder, sweep, writing
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe

CODE = 1
"""Raised when the same tables would give other release files."""
_Rows = Callable[[Recipe, Workspace, Shard, pl.DataFrame], Iterator[pl.DataFrame]]
CONTENT = ("pairs", "rankings")


def release(recipe: Recipe, workspace: Workspace) -> Release:
    """The version with the present rows: a new one if they differ from the last one's, else that.

    Raises PairwrightError when no pair is left, with the funnel that says where they went, and StoreError when the
    tables were made by another recipe, or of an earlier state of what they are made from.
    """
    with locked(workspace.releases / "release.lock"):
        _refuse_others(recipe, workspace)
        made_from = _made_from(recipe, workspace)
        parent = latest(workspace)
        seen = workspace.releases / "seen.json"
        if parent and seen.exists() and json.loads(seen.read_text()) == {made_from: parent.version}:
            return parent
        steps = funnel(recipe, workspace)
        if steps[-1].left == 0:
            lost = "; ".join(f"{one.step}: {one.left} of {one.entered}" for one in steps)
            raise PairwrightError(f"{recipe.dataset}: no pair is left to release ({lost})")
        version = f"v{int(parent.version[1:]) + 1 if parent else 1}"
        sweep(workspace.releases, version)
        with writing(workspace.releases), scratch_folder(workspace.releases / version) as aside:
            made = _write(recipe, workspace, aside, version, steps, parent)
        with replacing(seen) as path:
            path.write_text(json.dumps({made_from: made.version}))
        return made


def _refuse_others(recipe: Recipe, workspace: Workspace) -> None:
    """Raises StoreError unless preferences, pairs and rankings are those of this recipe: the manifest will say so."""
    for table, is_current in (("preferences", preferred), ("pairs", paired), ("rankings", ranked)):
        workspace.files(table)
        if not is_current(recipe, workspace):
            raise StoreError(
                f"table {table} of {recipe.dataset} was not made by {recipe.path} from the present verdicts; "
                f"materialise it before the release, or run `pairwright build {recipe.path}`"
            )


def _made_from(recipe: Recipe, workspace: Workspace) -> str:
    tables = ("prompts", "responses", "pairs", "rankings")
    return fingerprint(
        {
            "code": CODE,
            "inputs": [
                [version_of(path) for path in workspace.files(table)] for table in (*tables, *_references(recipe))
            ],
            "options": recipe.release.model_dump(mode="json", exclude={"formats", "hub"}),
        }
    )


def _references(recipe: Recipe) -> list[str]:
    """The table of the reference model, if the release has one."""
    need = likelihood.reference_need(recipe)
    return [need.table] if need else []


def _write(
    recipe: Recipe,
    workspace: Workspace,
    aside: Path,
    version: str,
    steps: list[FunnelStep],
    parent: Release | None,
) -> Release:
    splits = splits_of(recipe, workspace)
    files = write_pairs(recipe, workspace, splits, aside / "pairs")
    files |= write_rankings(recipe, workspace, splits, aside / "rankings")
    described = {name: {"rows": rows, **_described(aside / name)} for name, rows in sorted(files.items())}
    digest = fingerprint([recipe.release.license, {name: one["blake2b"] for name, one in described.items()}])
    if parent and parent.manifest["digest"] == digest:
        return parent
    manifest = {
        "dataset": recipe.dataset,
        "version": version,
        "parent": parent.version if parent else None,
        "digest": digest,
        "made_by": f"pairwright {__version__}",
        "counts": _counts(workspace, described),
        "funnel": [step._asdict() for step in steps],
        "changes": difference(parent.path, aside) if parent else None,
        "causes": causes(parent.path, aside) if parent else None,
        "drift": last_night(workspace),
        "judges": {
            judge.name: {"kind": judge.content()["kind"], "fingerprint": judge.fingerprint}
            for judge in judges_of(recipe)
        },
        "costs": costs([*policies_of(recipe), *routers_of(recipe), *judges_of(recipe)], workspace),
        "recipe": recipe.model_dump(mode="json", exclude_unset=True),
        "files": described,
    }
    (aside / "README.md").write_text(card(recipe, manifest), encoding="utf-8")
    manifest_text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (aside / "manifest.json").write_text(manifest_text, encoding="utf-8")
    path = workspace.releases / version
    commit(aside, path)
    return Release(version, path, manifest, fresh=True)


def write_pairs(recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the kept pairs; rows of each file by its name within the release."""
    return _write_content(recipe, workspace, splits, folder, pairs)


def write_rankings(recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the rankings; rows of each file by its name within the release."""
    return _write_content(recipe, workspace, splits, folder, rankings)


def _write_content(
    recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path, rows: _Rows
) -> dict[str, int]:
    with SplitWriter(folder) as writer:
        for shard in workspace.each_shard():
            for piece in rows(recipe, workspace, shard, splits):
                writer.add(piece)
            tell(f"release: {folder.name}", shard.index + 1, shard.count)
    return {f"{folder.name}/{path.name}": count for path, count in writer.files}


def _described(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
        os.fsync(file.fileno())
    return {"bytes": path.stat().st_size, "blake2b": digest}


def _counts(workspace: Workspace, files: dict[str, Any]) -> dict[str, int]:
    intake = json.loads((workspace.root / "intake.json").read_text())
    counts = {name: int(intake[name]) for name in ("prompts", "responses", "rows", "rejects")}
    for name in CONTENT:
        for split in ("train", "test"):
            rows = [one["rows"] for path, one in files.items() if path.startswith(f"{name}/{split}-")]
            counts[f"{name}_{split}"] = sum(rows)
    return counts


def splits_of(recipe: Recipe, workspace: Workspace) -> pl.DataFrame:
    """prompt_id and split of every prompt, over narrow columns."""
    prompts = pl.scan_parquet(workspace.files("prompts"), glob=False)
    narrow = prompts.select("prompt_id", "split", "sketch").collect()
    return assign_splits(narrow, recipe.release.test_fraction)


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The release of a recipe."""
    checks = {
        "no_leakage": "No prompt is in both splits.",
        "watch_length_bias": "The longer side is chosen in 30 % to 70 % of the pairs.",
    }

    @dg.asset(
        **face.common(recipe, "release", sharded=False),
        deps=[
            *(face.key(recipe, table) for table in ("pairs", "rankings")),
            *(likelihood.key(recipe, need) for need in [likelihood.reference_need(recipe)] if need),
        ],
        check_specs=face.check_specs(recipe, ("release",), checks),
    )
    def versioned(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """An immutable version: Parquet that trainers read as it is, a dataset card, and a manifest."""
        workspace = Workspace.of(recipe)
        made = release(recipe, workspace)
        context.log.info(f"{recipe.dataset} {made.version} at {made.path}")
        view = views.kept_view(workspace, "release", [made.manifest["digest"]], lambda: _view(made))
        leaked, longer, rows = int(view.pop("leaked")), float(view.pop("longer")), int(view.pop("rows"))
        found = {
            "no_leakage": (leaked == 0, f"{leaked} prompts in both splits"),
            "watch_length_bias": (0.3 <= longer <= 0.7, f"chosen is the longer side in {longer:.1%}"),
        }
        facts = {
            "dagster/row_count": rows,
            "version": made.version,
            "path": dg.MetadataValue.path(str(made.path)),
        }
        return face.result(facts | {name: dg.MarkdownMetadataValue(text) for name, text in view.items()}, found)

    return [versioned]


def _view(made: Release) -> dict[str, str]:
    """Counts, the funnel, what changed, and the first pairs of a version."""
    pairs = pl.scan_parquet(sorted((made.path / "pairs").glob("*.parquet")), glob=False, include_file_paths="file")
    size = {side: pl.col(side).list.last().struct.field("content").str.len_chars() for side in ("chosen", "rejected")}
    longer = (size["chosen"] > size["rejected"]).cast(pl.Float64) + (size["chosen"] == size["rejected"]) / 2
    split = pl.col("file").str.extract(r"(train|test)-\d+\.parquet$")
    counts = pairs.select(rows=pl.len(), longer=longer.mean()).collect().row(0, named=True)
    leaked = pairs.select("prompt_id", split=split).unique().group_by("prompt_id").len().filter(pl.col("len") > 1)
    steps = [FunnelStep(**step) for step in made.manifest["funnel"]]
    shown = pairs.select("prompt", "chosen", "rejected", "margin").head(views.PREVIEW).collect()
    return {
        "rows": str(counts["rows"]),
        "longer": str(counts["longer"]),
        "leaked": str(leaked.collect().height),
        "funnel": views.funnel_picture(steps),
        "counts": views.table(pl.DataFrame([made.manifest["counts"]])),
        "preview": views.table(shown),
    }
