"""Taking sources in: rows become prompts and responses, sharded by prompt id; what cannot be used becomes rejects."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import polars as pl

from pairwright.assets import face, views
from pairwright.assets.progress import tell
from pairwright.assets.readers import open_source
from pairwright.assets.source_rows import Spooled, fail_on, refuse_empty, settle_shard, spool
from pairwright.assets.store import (
    Shard,
    Workspace,
    content_version,
    locked,
    replacing,
    scan,
    stamp_of,
    version_of,
    write,
)
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.tables import Notices, Prompts, Rejects, Responses, check, empty

CODE = 3
"""Raised when taking in the same rows would give other tables."""
GIVEN = "given"
"""The responses of the sources, where there are others besides."""


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


def take_in(recipe: Recipe, workspace: Workspace) -> Intake:
    """Bring the prompts and responses tables up to the sources, unless they are.

    Raises SourceError for a missing source or column, for a source of which no row can be used, and for the first bad
    row under `on_bad_row: fail`.
    """
    opened = [open_source(source, recipe.path.parent) for source in recipe.sources]
    options = [[one.version, one.source.model_dump(exclude={"source", "revision"})] for one in opened]
    version = fingerprint({"code": CODE, "sources": options})
    summary = workspace.root / "intake.json"
    tables = ("prompts", responses_table(recipe))
    files = [workspace.file(table, shard) for table in tables for shard in workspace.each_shard()]
    with locked(workspace.root / "intake.lock"):
        _drop_other_layouts(workspace)
        if summary.exists() and all(stamp_of(path).get("source") == version for path in files):
            known = json.loads(summary.read_text())
            if known.pop("version") == version:
                return Intake(**known, fresh=False)
        with replacing_folder(workspace.root / "intake") as scratch:
            spooled = spool(opened, workspace.shards, scratch)
            made = [_settle_shard(recipe, scratch, shard, workspace, version) for shard in workspace.each_shard()]
        counts = {
            "prompts": sum(one.prompts for one in made),
            "responses": sum(one.responses for one in made),
            "rows": sum(spooled.rows),
            "rejects": _keep_rejects(recipe, workspace, spooled, [one.rejects for one in made], version),
            "notices": _keep(Notices, [one.notices.drop("origin") for one in made], workspace, version),
        }
        with replacing(summary) as path:
            path.write_text(json.dumps({"version": version, **counts}))
    return Intake(**counts, fresh=True)


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
    write(check(rows, schema), workspace.root / f"{schema.__name__.lower()}.parquet", {"version": version})
    return rows.height


def _drop_other_layouts(workspace: Workspace) -> None:
    """Remove what another shard count left of tables that cost nothing to make; paid work stays where it is."""
    for table in ("prompts", GIVEN, "responses", "preferences", "candidates", "pairs", "rankings"):
        for path in (workspace.root / table).glob("*-of-*.parquet"):
            if not path.stem.endswith(f"-of-{workspace.shards:05d}"):
                path.unlink()


class replacing_folder:  # noqa: N801 - reads as a verb, like contextlib's own
    """A scratch folder beside a path, removed when the block ends; a killed one is swept by the next build."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f".{path.name}.{os.getpid()}.tmp")

    def __enter__(self) -> Path:
        shutil.rmtree(self.path, ignore_errors=True)
        self.path.mkdir(parents=True)
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


class _Settled(NamedTuple):
    prompts: int
    responses: int
    rejects: pl.DataFrame
    notices: pl.DataFrame


def _settle_shard(recipe: Recipe, folder: Path, shard: Shard, workspace: Workspace, version: str) -> _Settled:
    """Write one shard's prompts and responses from what was spooled."""
    made = settle_shard(folder, shard.index)
    for number, source in enumerate(recipe.sources):
        fail_on(made.rejects.filter(pl.col("origin") == number), source)
    for table, frame, schema in (
        ("prompts", made.prompts, Prompts),
        (responses_table(recipe), made.responses, Responses),
    ):
        checked = check(frame, schema)
        write(checked, workspace.file(table, shard), {"version": content_version(checked), "source": version})
    tell("source: shards", shard.index + 1, shard.count)
    return _Settled(made.prompts.height, made.responses.height, made.rejects, made.notices)


def assets(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The prompts and responses of a recipe."""
    checks = {"watch_rejects": "At most 5 % of the source's rows are rejects."}

    @dg.asset(
        **face.common(recipe, "prompts", sharded=True),
        check_specs=face.check_specs(recipe, ("prompts",), checks),
    )
    def prompts(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Conversations that end before the assistant's turn, from the recipe's sources."""
        workspace = Workspace.of(recipe)
        made = take_in(recipe, workspace)
        context.log.info(
            f"{made.prompts} prompts and {made.responses} responses; {made.rejects} rows rejected; {made.notices} rows "
            "repeat a prompt with other attributes, their responses are kept"
        )
        metadata = {**counted(workspace, "prompts", made.prompts), "rejects": made.rejects, "notices": made.notices}
        for table in ("rejects", "notices"):
            if metadata[table]:
                rows = pl.read_parquet(workspace.root / f"{table}.parquet", glob=False)
                metadata[f"first {table}"] = dg.MarkdownMetadataValue(views.table(rows))
        few = made.rejects <= 0.05 * made.rows
        return face.result(metadata, {"watch_rejects": (few, f"{made.rejects} of {made.rows} rows")})

    @dg.asset(**face.common(recipe, "responses", sharded=True), deps=[face.key(recipe, "prompts")])
    def responses(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        """Distinct texts for each prompt, with everyone who wrote them."""
        workspace = Workspace.of(recipe)
        made = take_in(recipe, workspace)
        return face.result(counted(workspace, "responses", made.responses))

    return [prompts] if recipe.policies else [prompts, responses]


def counted(workspace: Workspace, table: str, rows: int) -> dict[str, Any]:
    """Metadata of a table: its rows and the first of them."""
    files = workspace.files(table)

    def make() -> dict[str, str]:
        shown = scan(files).head(views.PREVIEW).collect()
        return {"preview": views.table(shown.select(pl.exclude("sketch", "tests", "steps")))}

    view = views.kept_view(workspace, table, [version_of(path) for path in files], make)
    return {
        "dagster/row_count": rows,
        **{name: dg.MarkdownMetadataValue(text) for name, text in view.items()},
    }
