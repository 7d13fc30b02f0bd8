"""What a version says of itself: recipe, fingerprints, counts, funnel, checks, and the hash of every file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright import __version__
from pairwright.assets.auditing.failures import Outcome, commonest
from pairwright.assets.auditing.relabel import last_night
from pairwright.assets.intake.splits import SPLITS
from pairwright.assets.judging.domains import routers_of
from pairwright.assets.judging.verdicts import judges_of
from pairwright.assets.pairing.funnel import FunnelStep
from pairwright.assets.releasing.changes import causes, difference
from pairwright.assets.releasing.release_rows import CONTENT
from pairwright.assets.releasing.versions import Checked, Release, damage
from pairwright.assets.sampling.pool import policies_of
from pairwright.assets.storage.integrity import read_record
from pairwright.assets.storage.reply_ledger import costs
from pairwright.assets.storage.split_writer import Written
from pairwright.assets.storage.store import Workspace, read_table
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe

QUOTED = r"""\(.*\)|'.*'|".*\""""
"""What a reason may quote of the data."""


class Found(NamedTuple):
    """What a build found out on the way to a version."""

    steps: Sequence[FunnelStep]
    answers: Sequence[Outcome]
    checks: Sequence[Checked]


def digest_of(recipe: Recipe, files: dict[str, Written]) -> str:
    """Names what a version holds: another one has other rows, or another licence."""
    return fingerprint([recipe.release.license, {name: files[name].hash for name in sorted(files)}])


def manifest(
    recipe: Recipe, workspace: Workspace, version: str, files: dict[str, Written], found: Found
) -> dict[str, Any]:
    """The manifest of a version with these files, but for what `since` says."""
    return {
        "dataset": recipe.dataset,
        "version": version,
        "digest": digest_of(recipe, files),
        "made_by": f"pairwright {__version__}",
        "counts": _counts(workspace, files),
        **_rejects(workspace),
        "funnel": [step._asdict() for step in found.steps],
        "checks": [one._asdict() for one in found.checks],
        "drift": last_night(workspace),
        "judges": {
            judge.name: {"kind": judge.content()["kind"], "fingerprint": judge.fingerprint}
            for judge in judges_of(recipe)
        },
        "answers": [
            {name: value for name, value in one._asdict().items() if name != "reasons"} | {"share": round(one.share, 6)}
            for one in found.answers  # without their reasons, which may quote the data
        ],
        "costs": costs([*policies_of(recipe), *routers_of(recipe), *judges_of(recipe)], workspace),
        "recipe": recipe.model_dump(mode="json", exclude_unset=True),
        "files": {
            name: {"rows": one.rows, "bytes": one.size, "blake2b": one.hash} for name, one in sorted(files.items())
        },
    }


def since(parent: Release | None, folder: Path) -> dict[str, Any]:
    """The parent of a version that lies in a folder, and how its pairs differ, where the parent is whole."""
    whole = parent is not None and not damage(parent)
    return {
        "parent": parent.version if parent else None,
        "changes": difference(parent.path, folder) if parent and whole else None,
        "causes": causes(parent.path, folder) if parent and whole else None,
    }


def rows_by_split(files: dict[str, Written]) -> dict[str, int]:
    """How many rows the files hold, as `pairs_train`; of every split."""
    return {
        f"{name}_{split}": sum(one.rows for path, one in files.items() if path.startswith(f"{name}/{split}-"))
        for name in CONTENT
        for split in SPLITS
    }


def _rejects(workspace: Workspace) -> dict[str, Any]:
    """Why rows of the sources could not be used, the commonest reasons without what they quote of the data."""
    path = workspace.root / "rejects.parquet"
    reasons = read_table(path, columns=["reason"]).to_series() if path.exists() else pl.Series([], dtype=pl.String)
    told = commonest(reasons.str.replace_all(QUOTED, "…"))
    return {"rejects": told} if told else {}


def _counts(workspace: Workspace, files: dict[str, Written]) -> dict[str, int]:
    intake = read_record(workspace.root / "intake.json") or {}
    counts = {name: int(intake[name]) for name in ("prompts", "responses", "rows", "rejects")}
    return counts | {"notices": int(intake.get("notices", 0))} | rows_by_split(files)
