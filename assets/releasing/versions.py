"""The versions of a data set as they lie on disk: which there are, and which one a person means."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.storage.integrity import file_hash, read_record
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import DamagedError, StoreError

NAME = r"v[1-9][0-9]*"
"""What a version's folder is called; anything else that lies beside them is none of ours."""
PARTS = {"dataset": str, "version": str, "digest": str}
"""What a manifest must say to be one."""


class Checked(NamedTuple):
    """How a check of a version came out, before the version became visible."""

    name: str
    stops: bool
    passed: bool
    found: str
    """In a line."""


class FailedCheck(NamedTuple):
    """A check that a run failed."""

    table: str
    check: str
    found: str
    """In a line."""
    stops: bool
    """Whether it keeps what comes after from being made."""


class Release(NamedTuple):
    """A version and where it lies."""

    version: str
    path: Path
    manifest: dict[str, Any]
    fresh: bool = False
    """Whether it was made just now."""
    failed_checks: tuple[FailedCheck, ...] = ()
    """Of the run that came to it."""
    checks: tuple[Checked, ...] = ()
    """How those of the release came out, where it was just asked for."""


def latest(workspace: Workspace) -> Release | None:
    """The newest version, if there is one. Raises StoreError when its manifest cannot be read."""
    found = _folders(workspace)
    return _own(found[-1]) if found else None


def newest(workspace: Workspace) -> Release:
    """The newest version. Raises StoreError where there is none."""
    made = latest(workspace)
    if made is None:
        raise StoreError(f"{workspace.dataset} has no release yet; materialise its release first")
    return made


def versions(workspace: Workspace) -> list[Release]:
    """All versions, oldest first. Raises StoreError when a manifest cannot be read."""
    return [_own(path) for path in _folders(workspace)]


def next_version(workspace: Workspace) -> str:
    """The first name after all that are taken, be it by folders or by something else."""
    taken = [int(path.name[1:]) for path in _named(workspace)]
    return f"v{max(taken, default=0) + 1}"


def _named(workspace: Workspace) -> list[Path]:
    return [path for path in workspace.releases.glob("v*") if re.fullmatch(NAME, path.name)]


def _folders(workspace: Workspace) -> list[Path]:
    return sorted((path for path in _named(workspace) if path.is_dir()), key=lambda path: int(path.name[1:]))


def _own(folder: Path) -> Release:
    return _release(folder)._replace(version=folder.name)


def _release(folder: Path) -> Release:
    path = folder / "manifest.json"
    wrong = f"put it back or move {folder} away"
    try:
        manifest = read_record(path)
    except DamagedError as error:
        raise StoreError(f"{str(error).partition('; ')[0]}; {wrong}") from error
    if manifest is None:
        raise StoreError(f"{path} is missing; {wrong}")
    if lacking := [name for name, kind in PARTS.items() if not isinstance(manifest.get(name), kind)]:
        raise StoreError(f"{path} is no manifest: it does not say {', '.join(lacking)}; {wrong}")
    return Release(manifest["version"], folder, manifest)


def find(workspace: Workspace, version: str) -> Release:
    """The version of that name. Raises StoreError listing those that exist."""
    folders = {path.name: path for path in _folders(workspace)}
    if version not in folders:
        there = ", ".join(folders) or "none yet"
        raise StoreError(f"{workspace.dataset} has no release {version!r}; there are: {there}")
    return _own(folders[version])


def verify_release(made: Release, tables: tuple[str, ...] = ("pairs", "rankings")) -> None:
    """Raise StoreError unless the files of these tables are just those of the manifest, byte by byte."""
    if problems := damage(made, tables):
        raise StoreError(
            f"{problems[0][1]}; it is not what {made.manifest['dataset']} {made.version} was released with. Put a copy "
            f"of it back; of the latest version, `pairwright build` can make it again once {made.path} is moved away"
        )


def damage(made: Release, tables: tuple[str, ...] = ("pairs", "rankings")) -> list[tuple[str, str]]:
    """Files of these tables that are not those of the manifest, by their name in the release, with what is wrong."""
    stated = made.manifest.get("files")
    if not isinstance(stated, dict):  # put together by hand: nothing to hold them against
        return []
    names = {name: one for name, one in stated.items() if name.split("/")[0] in tables}
    found = []
    for name, one in sorted(names.items()):
        path = made.path / name
        try:
            whole = file_hash(path) == one["blake2b"]
        except OSError as error:
            found.append((name, f"{path} cannot be read ({error.strerror})"))
            continue
        if not whole:
            found.append((name, f"{path} was changed or is damaged"))
    there = {f"{table}/{path.name}" for table in tables for path in (made.path / table).glob("*.parquet")}
    return found + [(name, f"{made.path / name} is not in the manifest") for name in sorted(there - names.keys())]


def all_there(made: Release) -> bool:
    """Whether the files of a version are there and as long as its manifest says: a look that reads none of them."""
    try:
        return all((made.path / name).stat().st_size == one["bytes"] for name, one in made.manifest["files"].items())
    except (OSError, KeyError, TypeError, AttributeError):
        return False


def rows_of(made: Release, table: str) -> pl.LazyFrame:
    """Lazy rows of a release's table, once its files are known to be those of the manifest. Raises StoreError."""
    verify_release(made, (table,))
    return scan_release(made.path, table)


def scan_release(folder: Path, table: str) -> pl.LazyFrame:
    """Lazy rows of a table of a release's folder, unchecked; a column `file` says which file each is from."""
    files = sorted((folder / table).glob("*.parquet"))
    if not files:
        raise StoreError(f"{folder / table} holds no Parquet files")
    return pl.scan_parquet(files, glob=False, include_file_paths="file")  # noqa: TID251 - a manifest has its hash


def resolve(data: Path, name: str) -> Release:
    """The version that a person means: a release folder, `dataset/v3`, `dataset` (its latest), or `v3` where the data
    directory holds one data set only.

    Raises StoreError listing the versions that there are.
    """
    if (Path(name) / "manifest.json").is_file():
        return _release(Path(name).resolve())
    sets = sorted(path.parent.name for path in data.glob("*/releases") if path.is_dir())
    dataset, _, version = name.partition("/")
    if re.fullmatch(r"v\d+", name) and dataset not in sets and len(sets) == 1:
        dataset, version = sets[0], name
    if dataset in sets:
        workspace = Workspace(data, dataset, 1)
        if not version and (last := latest(workspace)):
            return last
        return find(workspace, version)
    there = [f"{one}/{path.name}" for one in sets for path in _folders(Workspace(data, one, 1))]
    raise StoreError(f"no release {name!r} under {data}; there are: {', '.join(there) or 'none yet'}")
