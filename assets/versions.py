"""The versions of a data set as they lie on disk: which there are, and which one a person means."""

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

from pairwright.assets.face import FailedCheck
from pairwright.assets.store import Workspace
from pairwright.schemas.errors import StoreError


class Release(NamedTuple):
    """A version and where it lies."""

    version: str
    path: Path
    manifest: dict[str, Any]
    fresh: bool = False
    """Whether it was made just now."""
    failed_checks: tuple[FailedCheck, ...] = ()
    """Of the run that came to it."""


def latest(workspace: Workspace) -> Release | None:
    """The newest version, if there is one."""
    found = versions(workspace)
    return found[-1] if found else None


def newest(workspace: Workspace) -> Release:
    """The newest version. Raises StoreError where there is none."""
    made = latest(workspace)
    if made is None:
        raise StoreError(f"{workspace.dataset} has no release yet; materialise its release first")
    return made


def versions(workspace: Workspace) -> list[Release]:
    """All versions, oldest first."""
    folders = [path for path in workspace.releases.glob("v*") if path.name[1:].isdigit()]
    return [Release(path.name, path, _manifest(path)) for path in sorted(folders, key=lambda path: int(path.name[1:]))]


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); put it back or remove {folder}") from error


def find(workspace: Workspace, version: str) -> Release:
    """The version of that name. Raises StoreError listing those that exist."""
    there = versions(workspace)
    for one in there:
        if one.version == version:
            return one
    names = ", ".join(one.version for one in there) or "none yet"
    raise StoreError(f"{workspace.dataset} has no release {version!r}; there are: {names}")


def resolve(data: Path, name: str) -> Release:
    """The version that a person means: a release folder, `dataset/v3`, `dataset` (its latest), or `v3` where the data
    directory holds one data set only.

    Raises StoreError listing the versions that there are.
    """
    if (Path(name) / "manifest.json").is_file():
        path = Path(name).resolve()
        manifest = _manifest(path)
        return Release(manifest["version"], path, manifest)
    sets = sorted(path.parent.name for path in data.glob("*/releases") if path.is_dir())
    dataset, _, version = name.partition("/")
    if re.fullmatch(r"v\d+", name) and dataset not in sets and len(sets) == 1:
        dataset, version = sets[0], name
    if dataset in sets:
        workspace = Workspace(data, dataset, 1)
        if not version and (last := latest(workspace)):
            return last
        return find(workspace, version)
    there = [f"{one}/{made.version}" for one in sets for made in versions(Workspace(data, one, 1))]
    raise StoreError(f"no release {name!r} under {data}; there are: {', '.join(there) or 'none yet'}")
