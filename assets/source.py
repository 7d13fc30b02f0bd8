"""Taking sources in: rows become prompts and responses, sharded by prompt id; what cannot be used becomes rejects."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import polars as pl

from pairwright.assets import face, views
from pairwright.assets.columns import NO_COLUMNS, RAW, settle
from pairwright.assets.conform import column_names, conform
from pairwright.assets.merge import merged, said
from pairwright.assets.progress import tell
from pairwright.assets.readers import Opened, open_source
from pairwright.assets.spool import Spool, unspool
from pairwright.assets.store import Shard, Workspace, content_version, scan, stamp_of, version_of, write
from pairwright.schemas.errors import SourceError
from pairwright.schemas.files import locked, replacing, scratch_folder, writing
from pairwright.schemas.ids import fingerprint, prompt_id, response_id
from pairwright.schemas.recipe import Recipe, Source
from pairwright.schemas.tables import Prompts, Rejects, Responses, check, empty

CODE = 2
"""Raised when taking in the same rows would give other tables."""
GIVEN = "given"
"""The responses of the sources, where there are others besides."""


class Intake(NamedTuple):
    """What taking in came to."""

    prompts: int
    responses: int
    rows: int
    rejects: int
    fresh: bool
    """Whether anything was read; False when the sources have not changed."""


def responses_table(recipe: Recipe) -> str:
    """The table of the sources' responses: one of its own where policies add theirs."""
    return GIVEN if recipe.policies else "responses"


def take_in(recipe: Recipe, workspace: Workspace) -> Intake:
    """Bring the prompts and responses tables up to the sources, unless they are.

    Raises SourceError for a missing source or column, and for the first bad row under `on_bad_row: fail`.
    """
    opened = [open_source(source, recipe.path.parent) for source in recipe.sources]
    version = fingerprint(
        {
            "code": CODE,
            "sources": [
                [source.version, one.model_dump(exclude={"source", "revision"})]
                for source, one in _both(recipe, opened)
            ],
        }
    )
    summary = workspace.root / "intake.json"
    tables = ("prompts", responses_table(recipe))
    files = [workspace.file(table, shard) for table in tables for shard in workspace.each_shard()]
    with locked(workspace.root / "intake.lock"):
        _drop_other_layouts(workspace)
        if summary.exists() and all(stamp_of(path).get("source") == version for path in files):
            known = json.loads(summary.read_text())
            if known.pop("version") == version:
                return Intake(**known, fresh=False)
        with writing(workspace.root), scratch_folder(workspace.root / "intake") as spool:
            rows, rejects = _spool(recipe, opened, workspace, spool)
            prompts = responses = 0
            for shard in workspace.each_shard():
                made = _settle_shard(recipe, spool, shard, workspace, version)
                prompts, responses = prompts + made.prompts, responses + made.responses
                rejects += made.rejects
            rejects_table = pl.concat([empty(Rejects), *rejects]).sort("source", "row", "reason")
        write(check(rejects_table, Rejects), workspace.root / "rejects.parquet", {"version": version})
        counts = {"prompts": prompts, "responses": responses, "rows": rows, "rejects": rejects_table.height}
        with replacing(summary) as path:
            path.write_text(json.dumps({"version": version, **counts}))
    return Intake(**counts, fresh=True)


def _drop_other_layouts(workspace: Workspace) -> None:
    """Remove what another shard count left of tables that cost nothing to make; paid work stays where it is."""
    for table in ("prompts", GIVEN, "responses", "preferences", "candidates", "pairs", "rankings"):
        for path in (workspace.root / table).glob("*-of-*.parquet"):
            if not path.stem.endswith(f"-of-{workspace.shards:05d}"):
                path.unlink()


def _both(recipe: Recipe, opened: list[Opened]) -> Iterator[tuple[Opened, Source]]:
    return zip(opened, recipe.sources, strict=True)


def _spool(recipe: Recipe, opened: list[Opened], workspace: Workspace, folder: Path) -> tuple[int, list[pl.DataFrame]]:
    """Stream every source into a file of prompts and one of responses per shard; the row count and the rejects."""
    total, rejects = 0, []
    prompts = Spool(folder, "prompts", workspace.shards)
    responses = Spool(folder, "responses", workspace.shards)
    for number, (opened_source, source) in enumerate(_both(recipe, opened)):
        rows = 0
        columns, names, part = NO_COLUMNS, list[str](), ""
        for records in opened_source.stream():
            if records.part != part:
                names, part = [], records.part
            if new := [name for name in column_names(records) if name not in names]:
                names += new  # records of JSON Lines need not all have the same fields
                columns = settle(source.columns, names, records.part)
            if number > 0:
                columns = columns._replace(references=[], tags=[], texts={})
            raw = conform(records, columns)
            bad = raw.filter(pl.col("bad").is_not_null())
            if bad.height:
                rejects.append(_rejects(bad, records.part))
                _fail_on(rejects[-1], source)
            good = _identified(raw.filter(pl.col("bad").is_null()), number, records.part)
            if number == 0:
                prompts.add(_without_repeats(good).drop("answers"))
            responses.add(_answers(good))
            rows += raw.height
            tell("source", total + rows)
        if rows and not names:
            raise SourceError(f"{source.source}: none of its {rows} rows is a record with named fields")
        total += rows
    prompts.close()
    responses.close()
    return total, rejects


def _fail_on(rejects: pl.DataFrame, source: Source) -> None:
    if source.on_bad_row == "fail" and rejects.height:
        first = rejects.sort("source", "row").row(0, named=True)
        raise SourceError(f"{first['source']}, row {first['row']}: {first['reason']} (on_bad_row: fail)")


def _without_repeats(good: pl.DataFrame) -> pl.DataFrame:
    """Without rows that say nothing new of their prompt; their answers are spooled on their own, and count them."""
    silent = pl.col("answers").list.len() == 0
    told = good.filter(~silent).unique(["prompt_id", "variant"], keep="first", maintain_order=True)
    return pl.concat([told, good.filter(silent)])


def _rejects(bad: pl.DataFrame, part: str) -> pl.DataFrame:
    return bad.select(source=pl.lit(part), row="row", reason="bad", excerpt="excerpt")


def _identified(raw: pl.DataFrame, number: int, part: str) -> pl.DataFrame:
    ids = [prompt_id(messages) for messages in raw.get_column("messages").to_list()]
    return raw.drop("bad").with_columns(
        pl.Series("prompt_id", ids, pl.String),
        origin=pl.lit(number, pl.UInt32),
        part=pl.lit(part),
        variant=pl.struct(said()).hash(),  # tells rows of a prompt apart within this run; never stored
    )


def _answers(good: pl.DataFrame) -> pl.DataFrame:
    excerpt = pl.when(pl.col("origin") > 0).then("excerpt")  # of a row that may turn out to be nobody's
    rows = (
        good.select("prompt_id", "variant", "origin", "part", "row", excerpt, answer="answers")
        .explode("answer", empty_as_null=False)
        .unnest("answer")
    )
    ids = [response_id(*key) for key in rows.select("prompt_id", "text").iter_rows()]
    return rows.with_columns(pl.Series("response_id", ids, pl.String))


_NO_ROWS = _identified(pl.DataFrame(schema=RAW), 0, "").drop("answers")
_NO_ANSWERS = _answers(_identified(pl.DataFrame(schema=RAW), 0, ""))


class _Settled(NamedTuple):
    prompts: int
    responses: int
    rejects: list[pl.DataFrame]


def _settle_shard(recipe: Recipe, folder: Path, shard: Shard, workspace: Workspace, version: str) -> _Settled:
    """Write one shard's prompts and responses from what was spooled."""
    rows = unspool(folder, "prompts", shard.index)
    answers = unspool(folder, "responses", shard.index)
    prompts, responses, rejects = merged(
        _NO_ROWS if rows is None else rows, _NO_ANSWERS if answers is None else answers
    )
    for number, source in enumerate(recipe.sources):
        _fail_on(rejects.filter(pl.col("origin") == number), source)
    for table, frame, schema in (("prompts", prompts, Prompts), (responses_table(recipe), responses, Responses)):
        checked = check(frame, schema)
        write(checked, workspace.file(table, shard), {"version": content_version(checked), "source": version})
    tell("source: shards", shard.index + 1, shard.count)
    return _Settled(prompts.height, responses.height, [rejects.drop("origin")])


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
        context.log.info(f"{made.prompts} prompts and {made.responses} responses; {made.rejects} rows rejected")
        rejects = pl.read_parquet(workspace.root / "rejects.parquet", glob=False)
        metadata = {**counted(workspace, "prompts", made.prompts), "rejects": made.rejects}
        if made.rejects:
            metadata["first rejects"] = dg.MarkdownMetadataValue(views.table(rejects))
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
