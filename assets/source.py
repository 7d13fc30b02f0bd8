"""Taking sources in: rows become prompts and responses, sharded by prompt id; what cannot be used becomes rejects."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import polars as pl
import pyarrow as pa

from pairwright.assets import face, views
from pairwright.assets.conform import NO_COLUMNS, RAW, TEXTS, column_names, conform, settle
from pairwright.assets.progress import tell
from pairwright.assets.readers import Opened, open_source
from pairwright.assets.splits import sketches
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
from pairwright.schemas.errors import SourceError
from pairwright.schemas.ids import fingerprint, prompt_id, references_id, response_id
from pairwright.schemas.recipe import Recipe, Source
from pairwright.schemas.tables import Prompts, Rejects, Responses, check, empty, types

CODE = 1
"""Raised when taking in the same rows would give other tables."""
ATTRIBUTES = ("references", "tags", *TEXTS)


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
        with replacing_folder(workspace.root / "intake") as spool:
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


class _Spool:
    """One growing Arrow file a shard."""

    def __init__(self, folder: Path, table: str, shards: int) -> None:
        self.folder, self.table, self.shards = folder, table, shards
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Append each row to its prompt's shard."""
        shard = pl.col("prompt_id").str.slice(0, 8).str.to_integer(base=16, dtype=pl.UInt64) * self.shards // 2**32
        for (index,), part in frame.with_columns(_shard=shard).partition_by("_shard", as_dict=True).items():
            table = part.drop("_shard").to_arrow(compat_level=pl.CompatLevel.oldest())
            if index not in self._writers:
                options = pa.ipc.IpcWriteOptions(compression="lz4")
                path = str(spooled(self.folder, self.table, index))
                self._writers[index] = pa.ipc.new_stream(path, table.schema, options=options)
            self._writers[index].write_table(table)

    def close(self) -> None:
        """Finish every file."""
        for writer in self._writers.values():
            writer.close()


def spooled(folder: Path, table: str, shard: int) -> Path:
    """The spool file of a table's shard."""
    return folder / f"{table}-{shard:05d}.arrows"


def _spool(recipe: Recipe, opened: list[Opened], workspace: Workspace, folder: Path) -> tuple[int, list[pl.DataFrame]]:
    """Stream every source into a file of prompts and one of responses per shard; the row count and the rejects."""
    total, rejects = 0, []
    prompts = _Spool(folder, "prompts", workspace.shards)
    responses = _Spool(folder, "responses", workspace.shards)
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
        variant=pl.struct(_said()).hash(),  # tells rows of a prompt apart within this run; never stored
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


def _said() -> list[pl.Expr]:
    """One text per attribute, null where the row says nothing of it, to compare rows of the same prompt by."""
    lists = [
        pl.when(pl.col(name).list.len() > 0)
        .then(pl.col(name).list.eval(pl.format("{}:{}", pl.element().str.len_bytes(), pl.element())).list.join(""))
        .alias(f"_{name}")
        for name in ("references", "tags")
    ]
    return [*lists, *(pl.col(name).alias(f"_{name}") for name in TEXTS)]


_NO_ROWS = _identified(pl.DataFrame(schema=RAW), 0, "").drop("answers")
_NO_ANSWERS = _answers(_identified(pl.DataFrame(schema=RAW), 0, ""))


class _Settled(NamedTuple):
    prompts: int
    responses: int
    rejects: list[pl.DataFrame]


def _settle_shard(recipe: Recipe, folder: Path, shard: Shard, workspace: Workspace, version: str) -> _Settled:
    """Write one shard's prompts and responses from what was spooled."""
    rows = _unspool(folder, "prompts", shard)
    answers = _unspool(folder, "responses", shard)
    prompts, responses, rejects = _settle(
        _NO_ROWS if rows is None else rows, _NO_ANSWERS if answers is None else answers
    )
    for number, source in enumerate(recipe.sources):
        _fail_on(rejects.filter(pl.col("origin") == number), source)
    for table, frame, schema in (("prompts", prompts, Prompts), (responses_table(recipe), responses, Responses)):
        checked = check(frame, schema)
        write(checked, workspace.file(table, shard), {"version": content_version(checked), "source": version})
    tell("source: shards", shard.index + 1, shard.count)
    return _Settled(prompts.height, responses.height, [rejects.drop("origin")])


def _unspool(folder: Path, table: str, shard: Shard) -> pl.DataFrame | None:
    path = spooled(folder, table, shard.index)
    if not path.exists():
        return None
    with pa.memory_map(str(path)) as file:
        frame = pl.from_arrow(pa.ipc.open_stream(file).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame


def _settle(rows: pl.DataFrame, answers: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Merge rows of the same prompt. Of conflicting ones, those with the smallest content stay, whatever the order."""
    keys = [f"_{name}" for name in ATTRIBUTES]
    rows = rows.with_columns(_said())
    differs = [pl.col(key) != pl.col(f"{key}!") for key in keys]
    names = [pl.when(one).then(pl.lit(key[1:])) for key, one in zip(keys, differs, strict=True)]
    reason = pl.format("the same prompt came with other {}", pl.concat_str(names, separator=", ", ignore_nulls=True))
    conflict = pl.any_horizontal(differs).fill_null(False)
    rows = rows.join(_agreed(rows, keys), on="prompt_id").with_columns(reason=pl.when(conflict).then(reason))
    rows = rows.select(pl.exclude(r"^_.*$"))
    out = rows.filter(pl.col("reason").is_not_null())
    why = out.select("prompt_id", "variant", "reason", "excerpt").unique(["prompt_id", "variant"])
    homeless = answers.join(rows, on="prompt_id", how="anti")
    lost = answers.drop("excerpt").join(why, on=["prompt_id", "variant"])
    nobody = homeless.with_columns(reason=pl.lit("no prompt of the prompts source has this text"))
    columns = {"source": pl.col("part")} | {name: pl.col(name) for name in ("row", "reason", "excerpt", "origin")}
    rejected = pl.concat([one.select(**columns) for one in (out, lost, nobody)]).unique()
    kept = answers.join(why, on=["prompt_id", "variant"], how="anti").join(rows, on="prompt_id", how="semi")
    return _merged_prompts(rows.filter(pl.col("reason").is_null())), _merged_responses(kept), rejected


def _agreed(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Per prompt, `<key>!`: the content that stays, so that at least one of its rows has it.

    Where rows differ, key after key, those without the smallest one leave.
    """
    smallest, largest = (pl.col(keys).min().name.suffix("!"), pl.col(keys).max().name.suffix("?"))
    spread = rows.group_by("prompt_id").agg(smallest, largest)
    peaceful = ~pl.any_horizontal([pl.col(f"{key}!") != pl.col(f"{key}?") for key in keys]).fill_null(False)
    left = rows.join(spread.filter(~peaceful), on="prompt_id", how="semi").select("prompt_id", *keys)
    for key in keys:
        left = left.filter((pl.col(key) == pl.col(key).min().over("prompt_id")).fill_null(True))
    fought = left.group_by("prompt_id").agg(pl.col(keys).min().name.suffix("!"))
    return pl.concat([spread.filter(peaceful).select("prompt_id", pl.col(r"^.*!$")), fought])


def _merged_prompts(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a prompt: each attribute from the first row that says something of it."""
    empty_is_null = [
        pl.when(pl.col(name).list.len() > 0).then(pl.col(name)).alias(name) for name in ("references", "tags")
    ]
    prompts = (
        rows.sort("prompt_id", "origin", "part", "row")
        .with_columns(empty_is_null)
        .group_by("prompt_id", maintain_order=True)
        .agg(pl.col("messages").first(), *(pl.col(name).drop_nulls().first() for name in ATTRIBUTES))
        .with_columns(pl.col("references", "tags").fill_null([]))
    )
    ids = [references_id(texts) for texts in prompts.get_column("references").to_list()]
    prompts = prompts.with_columns(pl.Series("references_id", ids, pl.String))
    text = pl.col("messages").list.eval(pl.element().struct.field("content")).list.join(" ")
    return prompts.join(sketches(prompts.select("prompt_id", text=text)), on="prompt_id", maintain_order="left")


def _merged_responses(answers: pl.DataFrame) -> pl.DataFrame:
    """One row a distinct text, with everyone who wrote it and how often."""
    nothing: dict[str, Any] = {
        name: pl.lit(None, dtype)
        for name, dtype in types(Responses).items()
        if name in {"sampling", "logprob", "finish_reason", "prompt_tokens", "completion_tokens"}
    }
    return (
        answers.group_by("prompt_id", "response_id")
        .agg(
            pl.col("text").first(),
            policies=pl.col("policy").unique().sort(),
            sample_count=pl.len().cast(pl.UInt32),
        )
        .with_columns(**nothing)
        .sort("prompt_id", "response_id")
    )


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
        return {"preview": views.table(shown.select(pl.exclude("sketch", "tests")))}

    view = views.kept_view(workspace, table, [version_of(path) for path in files], make)
    return {
        "dagster/row_count": rows,
        **{name: dg.MarkdownMetadataValue(text) for name, text in view.items()},
    }
