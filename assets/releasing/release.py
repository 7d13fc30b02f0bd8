"""Releases: immutable versions of a data set, written aside and renamed whole, and only when rows have changed."""

import logging
from functools import partial
from pathlib import Path

import polars as pl

from pairwright.assets.auditing.failures import Outcome, commonest, outcomes, stop_over, told
from pairwright.assets.intake.splits import SPLITS_TABLE, assign_splits
from pairwright.assets.judging import likelihood
from pairwright.assets.pairing.funnel import FunnelStep, funnel
from pairwright.assets.pairing.pair import pair_stages
from pairwright.assets.pairing.prefer import preferences_stage
from pairwright.assets.pairing.rank import rankings_stage
from pairwright.assets.releasing.card import card
from pairwright.assets.releasing.checks import CHECKS, look, stop_failed
from pairwright.assets.releasing.further_columns import told_of
from pairwright.assets.releasing.manifest import Found, digest_of, manifest, since
from pairwright.assets.releasing.release_parts import Parts, one_by_one, put_together
from pairwright.assets.releasing.versions import Checked, Release, all_there, damage, latest, next_version
from pairwright.assets.stages.basis import Basis, Input, Inputs
from pairwright.assets.stages.stage import Derived
from pairwright.assets.storage.integrity import kept_record, read_record, record_text
from pairwright.assets.storage.store import Workspace, read_table, scan, write_record
from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.files import commit, locked, scratch_folder, sweep, writing
from pairwright.schemas.recipe import Recipe

CODE = 1
"""Raised when the same tables would give other release files."""


def release(recipe: Recipe, workspace: Workspace, parts: Parts = one_by_one) -> Release:
    """The version with the present rows: a new one if they differ from the last one's, else that.

    `parts` makes the shards' rows. Raises PairwrightError when more answers of a judge or policy failed than it may,
    when no pair is left, with the funnel that says where they went, and when a check fails; StoreError when the tables
    were made by another recipe, or of an earlier state of what they are made from.
    """
    with locked(workspace.releases / "release.lock"):
        sweep(workspace.releases)
        _refuse_others(recipe, workspace)
        splits_stage(recipe).bring_up(workspace)
        stage = release_basis(recipe)
        made_from = stage.stamp(workspace, None)
        answers = outcomes(recipe, workspace)
        stop_over(recipe, answers)
        parent = latest(workspace)
        seen = workspace.releases / "seen.json"
        if parent and (checks := _known(seen, made_from, parent)) and all_there(parent):
            return parent._replace(checks=checks)
        steps = funnel(recipe, workspace)
        if steps[-1].left == 0:
            raise PairwrightError(f"{recipe.dataset}: no pair is left to release ({_lost(workspace, steps, answers)})")
        version = next_version(workspace)
        with writing(workspace.releases), scratch_folder(workspace.releases / version) as aside:
            made = _write(recipe, workspace, aside, version, steps, answers, parent, parts)
        found = [one._asdict() for one in made.checks]
        write_record(seen, {"made_from": made_from, "version": made.version, "checks": found})
        return made


def _known(seen: Path, made_from: str, parent: Release) -> tuple[Checked, ...]:
    """How the checks came out when these very rows were looked at for the version; none where they were not."""
    record = kept_record(seen) or {}
    return (
        last_checks(seen.parent)
        if (record.get("made_from"), record.get("version")) == (made_from, parent.version)
        else ()
    )


def last_checks(releases: Path) -> tuple[Checked, ...]:
    """How the checks came out when rows were last looked at, in their order; none where they were others."""
    found = (kept_record(releases / "seen.json") or {}).get("checks", [])
    names = [one.name for one in CHECKS]
    return tuple(Checked(**one) for one in found) if [one["name"] for one in found] == names else ()


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
        doc="The split of every prompt: near-duplicates share one.",
    )


def _splits(test_fraction: float, inputs: Inputs) -> pl.DataFrame:
    narrow = scan(inputs.files("prompts")).select("prompt_id", "split", "sketch").collect()
    return assign_splits(narrow, test_fraction)


def release_basis(recipe: Recipe) -> Basis:
    """What a version follows from."""
    need = likelihood.reference_need(recipe)
    tables = ["prompts", "responses", "preferences", _drawn_into(recipe), "pairs", "rankings"]
    tables += [need.table] if need else []
    return Basis(
        name="release",
        table="release",
        fit=True,
        inputs=(*(Input(table, every_shard=True) for table in dict.fromkeys(tables)), Input(SPLITS_TABLE, fit=True)),
        options=recipe.release.model_dump(mode="json", exclude={"columns", "formats", "hub"}) | told_of(recipe),
        code=CODE,
    )


def _drawn_into(recipe: Recipe) -> str:
    """The table of the drawn pairs: the first after the preferences."""
    return pair_stages(recipe)[0].table


def _write(
    recipe: Recipe,
    workspace: Workspace,
    aside: Path,
    version: str,
    steps: list[FunnelStep],
    answers: list[Outcome],
    parent: Release | None,
    parts: Parts,
) -> Release:
    """Everything into a folder aside, which becomes the version once its checks have passed."""
    inputs = release_basis(recipe).reading(workspace, None)
    content = put_together(recipe, inputs, aside, parts, _drawn_into(recipe))
    checks = look(aside, inputs, content, steps, _asked(recipe, inputs))
    stop_failed(recipe.dataset, checks, parent.version if parent else None, workspace.root)
    if parent and parent.manifest["digest"] == digest_of(recipe, content.files):
        _restore(parent, aside)
        return parent._replace(checks=tuple(checks))
    found = Found(steps, answers, checks)
    made = manifest(recipe, workspace, version, content.files, found) | since(parent, aside)
    (aside / "README.md").write_text(card(recipe, made), encoding="utf-8")
    (aside / "manifest.json").write_text(record_text(made, indent=2), encoding="utf-8")
    path = workspace.releases / version
    commit(aside, path)
    return Release(version, path, made, fresh=True, checks=tuple(checks))


def _restore(made: Release, aside: Path) -> None:
    """Put files of a version that are lost or damaged back: the same rows have just given the same bytes again."""
    for name, wrong in damage(made):
        if (aside / name).is_file():
            (made.path / name).parent.mkdir(parents=True, exist_ok=True)
            (aside / name).replace(made.path / name)
            logging.getLogger("pairwright").warning("%s; it was put back", wrong)


def _asked(recipe: Recipe, inputs: Inputs) -> list[str]:
    """The splits that are to have pairs: by the recipe's share, and those that some prompt is in."""
    drawn = {"test"} if recipe.release.test_fraction > 0 else set()
    drawn |= {"train"} if recipe.release.test_fraction < 1 else set()
    there = scan([inputs.fit_file(SPLITS_TABLE)]).select(pl.col("split").unique()).collect().to_series()
    return sorted(drawn | set(there))
