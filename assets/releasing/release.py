"""Releases: immutable versions of a data set, written aside and renamed whole, and only when rows have changed."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from pairwright import __version__
from pairwright.assets.auditing.failures import Outcome, commonest, outcomes, stop_over, told
from pairwright.assets.auditing.relabel import last_night
from pairwright.assets.display import views
from pairwright.assets.display.progress import tell
from pairwright.assets.intake.splits import SPLITS, assign_splits
from pairwright.assets.judging import likelihood
from pairwright.assets.judging.domains import routers_of
from pairwright.assets.judging.verdicts import judges_of
from pairwright.assets.pairing.funnel import FunnelStep, funnel
from pairwright.assets.pairing.pair import pair_stages
from pairwright.assets.pairing.prefer import preferences_stage
from pairwright.assets.pairing.rank import rankings_stage
from pairwright.assets.releasing.card import card
from pairwright.assets.releasing.changes import causes, difference
from pairwright.assets.releasing.further_columns import told_of
from pairwright.assets.releasing.release_rows import pairs, rankings
from pairwright.assets.releasing.versions import Release, all_there, damage, latest, next_version, rows_of
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.stages.stage import Derived, Input, Inputs, Stage
from pairwright.assets.storage.integrity import file_hash, kept_record, read_record, record_text
from pairwright.assets.storage.reply_ledger import costs
from pairwright.assets.storage.split_writer import SplitWriter
from pairwright.assets.storage.store import Shard, Workspace, read_table, scan, write_record
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.files import commit, locked, scratch_folder, sweep, sync, writing
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe

CODE = 1
"""Raised when the same tables would give other release files."""
_Rows = Callable[[Recipe, Workspace, Shard, pl.DataFrame], Iterator[pl.DataFrame]]
CONTENT = ("pairs", "rankings")
SPLITS_TABLE = "splits"


def release(recipe: Recipe, workspace: Workspace) -> Release:
    """The version with the present rows: a new one if they differ from the last one's, else that.

    Raises PairwrightError when more answers of a judge or policy failed than it may, and when no pair is left, with the
    funnel that says where they went; StoreError when the tables were made by another recipe, or of an earlier state of
    what they are made from.
    """
    with locked(workspace.releases / "release.lock"):
        _refuse_others(recipe, workspace)
        splits_stage(recipe).bring_up(workspace)
        stage = release_stage(recipe)
        made_from = stage.stamp(workspace, None)
        answers = outcomes(recipe, workspace)
        stop_over(recipe, answers)
        parent = latest(workspace)
        seen = workspace.releases / "seen.json"
        if parent and kept_record(seen) == {made_from: parent.version} and all_there(parent):
            return parent
        steps = funnel(recipe, workspace)
        if steps[-1].left == 0:
            raise PairwrightError(f"{recipe.dataset}: no pair is left to release ({_lost(workspace, steps, answers)})")
        version = next_version(workspace)
        sweep(workspace.releases, version)
        with writing(workspace.releases), scratch_folder(workspace.releases / version) as aside:
            made = _write(recipe, workspace, aside, version, steps, answers, parent)
        write_record(seen, {made_from: made.version})
        return made


def _refuse_others(recipe: Recipe, workspace: Workspace) -> None:
    """Raises StoreError unless preferences, pairs and rankings are those of this recipe: the manifest will say so."""
    for stage in (preferences_stage(recipe), *pair_stages(recipe), rankings_stage(recipe)):
        if not stage.fit:
            workspace.files(stage.table)
        if not stage.is_current(workspace):
            raise StoreError(
                f"table {stage.name} of {recipe.dataset} was not made by {recipe.path} from the present verdicts; "
                f"materialise it before the release, or run `pairwright build {recipe.path}`"
            )


def _lost(workspace: Workspace, steps: list[FunnelStep], answers: list[Outcome]) -> str:
    """Where the prompts and pairs went, and the reasons: of rejected rows, of failures, of responses without a rank."""
    parts = [f"{one.step}: {one.left} of {one.entered}" for one in steps]
    rejects = read_table(workspace.root / "rejects.parquet", columns=["reason"]).to_series()
    if rejects.len():
        rows = (read_record(workspace.root / "intake.json") or {}).get("rows", 0)
        parts.append(f"{rejects.len():,} of {rows:,} rows of the source rejected{told(commonest(rejects))}")
    return "; ".join(parts + [one.told() for one in answers if one.failed or one.abstained])


def splits_stage(recipe: Recipe) -> Derived:
    """The split of every prompt: near-duplicates share one, which only a look at all of them can tell."""
    return Derived(
        name="splits",
        table=SPLITS_TABLE,
        fit=True,
        inputs=(Input("prompts", every_shard=True),),
        options=recipe.release.test_fraction,
        code=CODE,
        make=partial(_splits, recipe.release.test_fraction),
    )


def _splits(test_fraction: float, inputs: Inputs) -> pl.DataFrame:
    narrow = scan(inputs.files("prompts")).select("prompt_id", "split", "sketch").collect()
    return assign_splits(narrow, test_fraction)


def release_stage(recipe: Recipe) -> Stage:
    """A version: not a table but a folder of files, made a shard at a time and committed by its manifest."""
    need = likelihood.reference_need(recipe)
    tables = ["prompts", "responses", "preferences", "pairs", "rankings", *([need.table] if need else [])]
    return Stage(
        name="release",
        table="release",
        fit=True,
        inputs=(*(Input(table, every_shard=True) for table in tables), Input(SPLITS_TABLE, fit=True)),
        options=recipe.release.model_dump(mode="json", exclude={"columns", "formats", "hub"}) | told_of(recipe),
        code=CODE,
    )


def _write(
    recipe: Recipe,
    workspace: Workspace,
    aside: Path,
    version: str,
    steps: list[FunnelStep],
    answers: list[Outcome],
    parent: Release | None,
) -> Release:
    splits = splits_of(recipe, workspace)
    files = write_pairs(recipe, workspace, splits, aside / "pairs")
    files |= write_rankings(recipe, workspace, splits, aside / "rankings")
    described = {name: {"rows": rows, **_described(aside / name)} for name, rows in sorted(files.items())}
    digest = fingerprint([recipe.release.license, {name: one["blake2b"] for name, one in described.items()}])
    if parent and parent.manifest["digest"] == digest:
        _restore(parent, aside)
        return parent
    known = parent is not None and not damage(parent)
    manifest = {
        "dataset": recipe.dataset,
        "version": version,
        "parent": parent.version if parent else None,
        "digest": digest,
        "made_by": f"pairwright {__version__}",
        "counts": _counts(workspace, described),
        "funnel": [step._asdict() for step in steps],
        "changes": difference(parent.path, aside) if parent and known else None,
        "causes": causes(parent.path, aside) if parent and known else None,
        "drift": last_night(workspace),
        "judges": {
            judge.name: {"kind": judge.content()["kind"], "fingerprint": judge.fingerprint}
            for judge in judges_of(recipe)
        },
        "answers": [
            {name: value for name, value in one._asdict().items() if name != "reasons"} | {"share": round(one.share, 6)}
            for one in answers  # without their reasons, which may quote the data
        ],
        "costs": costs([*policies_of(recipe), *routers_of(recipe), *judges_of(recipe)], workspace),
        "recipe": recipe.model_dump(mode="json", exclude_unset=True),
        "files": described,
    }
    (aside / "README.md").write_text(card(recipe, manifest), encoding="utf-8")
    (aside / "manifest.json").write_text(record_text(manifest, indent=2), encoding="utf-8")
    path = workspace.releases / version
    commit(aside, path)
    return Release(version, path, manifest, fresh=True)


def _restore(made: Release, aside: Path) -> None:
    """Put files of a version that are lost or damaged back: the same rows have just given the same bytes again."""
    for name, wrong in damage(made):
        if (aside / name).is_file():
            (made.path / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).replace(made.path / name)
            logging.getLogger("pairwright").warning("%s; it was put back", wrong)


def write_pairs(recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the kept pairs; rows of each file by its name within the release."""
    return _write_content(recipe, workspace, splits, folder, pairs)


def write_rankings(recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path) -> dict[str, int]:
    """Write the rankings; rows of each file by its name within the release."""
    return _write_content(recipe, workspace, splits, folder, rankings)


def _write_content(
    recipe: Recipe, workspace: Workspace, splits: pl.DataFrame, folder: Path, rows: _Rows
) -> dict[str, int]:
    inputs = release_stage(recipe).reading(workspace, None)
    with SplitWriter(folder) as writer:
        for shard in workspace.each_shard():
            for piece in rows(recipe, inputs, shard, splits):
                writer.add(piece)
            tell(f"release: {folder.name}", shard.index + 1, shard.count)
    return {f"{folder.name}/{path.name}": count for path, count in writer.files}


def _described(path: Path) -> dict[str, Any]:
    sync(path)
    return {"bytes": path.stat().st_size, "blake2b": file_hash(path)}


def _counts(workspace: Workspace, files: dict[str, Any]) -> dict[str, int]:
    intake = read_record(workspace.root / "intake.json") or {}
    counts = {name: int(intake[name]) for name in ("prompts", "responses", "rows", "rejects")}
    counts["notices"] = int(intake.get("notices", 0))
    for name in CONTENT:
        for split in SPLITS:
            rows = [one["rows"] for path, one in files.items() if path.startswith(f"{name}/{split}-")]
            counts[f"{name}_{split}"] = sum(rows)
    return counts


def splits_of(recipe: Recipe, workspace: Workspace) -> pl.DataFrame:
    """prompt_id and split of every prompt."""
    stage = splits_stage(recipe)
    stage.bring_up(workspace)
    return read_table(stage.file(workspace, None))


def release_view(made: Release) -> dict[str, str]:
    """Counts, the funnel, what changed, and the first pairs of a version."""
    pairs = rows_of(made, "pairs")
    size = {side: pl.col(side).list.last().struct.field("content").str.len_chars() for side in ("chosen", "rejected")}
    longer = (size["chosen"] > size["rejected"]).cast(pl.Float64) + (size["chosen"] == size["rejected"]) / 2
    split = pl.col("file").str.extract(r"([a-z]+)-\d+\.parquet$")
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
