"""Taking sources in: rows become prompts and responses, sharded by prompt id; what cannot be used becomes rejects."""

from pathlib import Path
from typing import NamedTuple

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.intake.media import MediaIntake, unchanged
from pairwright.assets.intake.readers import open_source
from pairwright.assets.intake.source_rows import Spooled, fail_on, refuse_empty, settle_said, settle_shard, spool
from pairwright.assets.stages.runner import SERIAL, Runner
from pairwright.assets.storage.integrity import kept_record, verify
from pairwright.assets.storage.media import FOLDER
from pairwright.assets.storage.spool import spooled_bytes
from pairwright.assets.storage.store import (
    DERIVED,
    GIVEN,
    Shard,
    Workspace,
    content_version,
    last_stamp,
    read_table,
    write,
    write_record,
)
from pairwright.judges.given import GIVEN_SCORES, LABELS
from pairwright.schemas.errors import DamagedError
from pairwright.schemas.files import locked, scratch_folder, writing
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import GivenScores, Labels, Media, Notices, Prompts, Rejects, Responses, check, empty

CODE = 5
"""Raised when taking in the same rows would give other tables."""


class Intake(NamedTuple):
    """What taking in came to."""

    prompts: int
    responses: int
    rows: int
    rejects: int
    notices: int
    """Rows that say other things of their prompt than what stands; their responses are kept."""
    fresh: bool
    """Whether anything was read; False when the sources have not changed."""


def responses_table(recipe: Recipe) -> str:
    """The table of the sources' responses: one of its own where policies add theirs."""
    return GIVEN if recipe.policies else "responses"


def said_tables(recipe: Recipe) -> tuple[str, ...]:
    """The tables of what sources say of responses; none where none says anything."""
    return (LABELS, GIVEN_SCORES) if any(one.columns.says_something for one in recipe.sources) else ()


def take_in(recipe: Recipe, workspace: Workspace, runner: Runner = SERIAL) -> Intake:
    """Bring the prompts and responses tables up to the sources, unless they are; `runner` may spread it.

    Raises SourceError for a missing source or column, for a source of which no row can be used, and for the first bad
    row under `on_bad_row: fail`.
    """
    opened = [open_source(source, recipe.path.parent) for source in recipe.sources]
    options = [[one.version, one.source.model_dump(exclude={"source", "revision"})] for one in opened]
    version = fingerprint({"code": CODE, "sources": options})
    tables = ("prompts", responses_table(recipe), *said_tables(recipe))
    files = [workspace.file(table, shard) for table in tables for shard in workspace.each_shard()]
    with locked(workspace.root / "intake.lock"):
        _drop_other_layouts(workspace)
        known = _known(workspace, version, recipe.path.parent)
        if known and all(last_stamp(path).get("source") == version for path in files):
            return known
        with writing(workspace.root), scratch_folder(workspace.root / "intake") as scratch:
            media = MediaIntake(workspace.root / FOLDER, recipe.path.parent, _earlier_media(workspace))
            spooled = spool(opened, workspace.shards, scratch, media, runner)
            made = _settled(recipe, scratch, workspace, version, runner)
        counts = {
            "prompts": sum(one.prompts for one in made),
            "responses": sum(one.responses for one in made),
            "rows": sum(spooled.rows),
            "rejects": _keep_rejects(recipe, workspace, spooled, [one.rejects for one in made], version),
            "notices": _keep(Notices, [one.notices.drop("origin") for one in made], workspace, version),
        }
        _keep_media(media, workspace, version)
        write_record(workspace.root / "intake.json", {"version": version, **counts})
    return Intake(**counts, fresh=True)


def _known(workspace: Workspace, version: str, beside: Path) -> Intake | None:
    """What the last intake came to, if it was of these sources, their media as they were, and what it says is whole."""
    known = kept_record(workspace.root / "intake.json") or {}
    try:
        for table in (Rejects, Notices):
            verify(_kept_in(table, workspace))
        media = _earlier_media(workspace)
        if media is None or not unchanged(workspace.root / FOLDER, beside, media):
            return None
        counts = {name: int(known[name]) for name in Intake._fields if name != "fresh"}
    except (DamagedError, FileNotFoundError, KeyError, TypeError, ValueError):
        return None
    return Intake(**counts, fresh=False) if known.get("version") == version else None


def _keep_rejects(
    recipe: Recipe, workspace: Workspace, spooled: Spooled, homeless: list[pl.DataFrame], version: str
) -> int:
    """Write the rejects; how many. Raises SourceError for a further source none of whose rows has a prompt."""
    rejects = [
        [*bad, *(one.filter(pl.col("origin") == number).drop("origin") for one in homeless)]
        for number, bad in enumerate(spooled.rejects)
    ]
    for source, rows, bad in zip(recipe.sources, spooled.rows, rejects, strict=True):
        refuse_empty(source, rows, bad)
    return _keep(Rejects, [one for bad in rejects for one in bad], workspace, version)


def _keep(schema: type[Rejects], frames: list[pl.DataFrame], workspace: Workspace, version: str) -> int:
    """Write `rejects.parquet` or `notices.parquet`; its rows."""
    rows = pl.concat([empty(schema), *frames]).sort("source", "row", "reason")
    write(check(rows, schema), _kept_in(schema, workspace), {"version": version})
    return rows.height


def _keep_media(media: MediaIntake, workspace: Workspace, version: str) -> None:
    """Note which local files were taken; no table where there are none."""
    path, files = _kept_in(Media, workspace), media.frame()
    if files.height:
        write(check(files, Media), path, {"version": version})
    else:
        path.unlink(missing_ok=True)


def _earlier_media(workspace: Workspace) -> pl.DataFrame | None:
    """The local files that the last intake took; None where that cannot be told."""
    path = _kept_in(Media, workspace)
    try:
        return read_table(path) if path.exists() else empty(Media)
    except DamagedError:
        return None


def _kept_in(schema: type[Rejects | Media], workspace: Workspace) -> Path:
    return workspace.root / f"{schema.__name__.lower()}.parquet"


def _drop_other_layouts(workspace: Workspace) -> None:
    """Remove what another shard count left of tables that cost nothing to make; paid work stays where it is."""
    for table in DERIVED:
        for path in (workspace.root / table).glob("*-of-*.parquet"):
            if not path.stem.endswith(f"-of-{workspace.shards:05d}"):
                path.unlink()


class _Settled(NamedTuple):
    prompts: int
    responses: int
    rejects: pl.DataFrame
    notices: pl.DataFrame


def _settled(recipe: Recipe, folder: Path, workspace: Workspace, version: str, runner: Runner) -> list[_Settled]:
    """Every shard's prompts and responses, written from what was spooled."""
    made = list[_Settled]()
    every = ((recipe, folder, shard, workspace, version) for shard in workspace.each_shard())
    for one in runner.for_bytes(spooled_bytes(folder)).calls("prompts, shard", _settle_shard, every):
        made.append(one)
        tell("source: shards", len(made), workspace.shards)
    return made


def _settle_shard(recipe: Recipe, folder: Path, shard: Shard, workspace: Workspace, version: str) -> _Settled:
    """Write one shard's prompts and responses from what was spooled."""
    made = settle_shard(folder, shard.index)
    for number, source in enumerate(recipe.sources):
        fail_on(made.rejects.filter(pl.col("origin") == number), source)
    frames = {"prompts": (made.prompts, Prompts), responses_table(recipe): (made.responses, Responses)}
    if said_tables(recipe):
        said = settle_said(folder, shard.index, made.prompts)
        frames |= {LABELS: (said[LABELS], Labels), GIVEN_SCORES: (said[GIVEN_SCORES], GivenScores)}
    for table, (frame, schema) in frames.items():
        checked = check(frame, schema)
        write(checked, workspace.file(table, shard), {"version": content_version(checked), "source": version})
    return _Settled(made.prompts.height, made.responses.height, made.rejects, made.notices)
