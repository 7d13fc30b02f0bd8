"""A source's rows on their way into the shards: conformed, named by content, and spooled; or rejected with a reason."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.display.text import shown
from pairwright.assets.intake.columns import NO_COLUMNS, RAW, Columns, settle
from pairwright.assets.intake.conform import conform
from pairwright.assets.intake.label_shape import LabelledColumns, labelled_columns
from pairwright.assets.intake.media import MediaIntake
from pairwright.assets.intake.merge_rows import Merged, merged, said
from pairwright.assets.intake.readers import Opened
from pairwright.assets.intake.records import BATCH_BYTES, Part, Records
from pairwright.assets.intake.said_rows import (
    conform_labelled,
    identified_labels,
    identified_scores,
    merged_labels,
    merged_scores,
)
from pairwright.assets.stages.runner import SERIAL, Runner
from pairwright.assets.storage.spool import Spool, unspool
from pairwright.judges.given import GIVEN_SCORES, LABELS
from pairwright.schemas.errors import SourceError
from pairwright.schemas.ids import prompt_ids, response_ids
from pairwright.schemas.sources import Source
from pairwright.schemas.tables import GivenScores, Labels, empty

REASONS = 3
"""So many reasons are told of a source that has no good row."""


class Spooled(NamedTuple):
    """What streaming the sources came to."""

    rows: list[int]
    """Of each source."""
    rejects: list[list[pl.DataFrame]]
    """Of each source."""


class _Batch(NamedTuple):
    """Some rows of one part of a source."""

    records: Records
    columns: Columns | LabelledColumns
    part: str
    """As rejects name it."""
    folder: Path | None
    """Where paths in its rows start."""


class _Batches(NamedTuple):
    """Rows of one source that are conformed in one go."""

    source: Source
    number: int
    """Of the source."""
    order: int
    """Among all of the sources."""
    batches: list[_Batch]


def spool(opened: Sequence[Opened], shards: int, folder: Path, media: MediaIntake, runner: Runner = SERIAL) -> Spooled:
    """Stream every source into files of prompts and of responses per shard; what media they hold goes to `media`.

    `runner` may spread all but the reading, unless local files are known: what is known of them is kept here.

    Raises SourceError for a source of which no row can be used, and for the first bad row under `on_bad_row: fail`.
    """
    counts, rejects = list[int](), list[list[pl.DataFrame]]()
    order = itertools.count()
    for number, one in enumerate(opened):
        rows, bad_rows = 0, list[pl.DataFrame]()
        fitting = SERIAL if media.earlier else runner.for_bytes(one.size)
        each_own = fitting is not SERIAL
        every = ((some, shards, folder, media.alike() if each_own else media) for some in _read(one, number, order))
        for height, bad, found in fitting.calls("prompts, batch", _spool_batches, every):
            rows += height
            bad_rows += bad
            if found is not media:
                media.taken |= found.taken
            tell("source", sum(counts) + rows)
        refuse_empty(one.source, rows, bad_rows)
        counts.append(rows)
        rejects.append(bad_rows)
    return Spooled(counts, rejects)


def _read(opened: Opened, number: int, order: Iterator[int]) -> Iterator[_Batches]:
    """A source's rows, about BATCH_BYTES at a time. Raises SourceError for one without any record."""
    held, size, rows, fields = list[_Batch](), 0, 0, False
    for part in opened.each_part():
        fields = fields or bool(part.names)
        columns = _columns(part, opened.source, number)
        for records in part.records(columns.used()):
            held.append(_Batch(records, columns, part.label, part.folder))
            rows += len(records.objects) if records.frame is None else records.frame.height
            size += records.size
            if size >= BATCH_BYTES:
                yield _Batches(opened.source, number, next(order), held)
                held, size = [], 0
    if held:
        yield _Batches(opened.source, number, next(order), held)
    if rows and not fields:
        raise SourceError(f"{opened.source.source}: none of its {rows} rows is a record with named fields")


def _spool_batches(
    read: _Batches, shards: int, folder: Path, media: MediaIntake
) -> tuple[int, list[pl.DataFrame], MediaIntake]:
    """Conform rows, append what is good to this process's files; how many there were, the rejects, and their media."""
    rows, rejects = 0, list[pl.DataFrame]()
    tables = {name: Spool(folder, name, shards, read.order) for name in ("prompts", "responses", LABELS, GIVEN_SCORES)}
    for records, columns, label, place in read.batches:
        keep = media.within(place).keep
        if isinstance(columns, Columns):
            said, raw = None, conform(records, columns, keep)
        else:
            said = conform_labelled(records, columns, keep)
            raw = said.raw
        bad = raw.filter(pl.col("bad").is_not_null())
        if bad.height:
            rejects.append(_rejects(bad, label))
            fail_on(rejects[-1], read.source)
        good = _identified(raw.filter(pl.col("bad").is_null()), read.number, label)
        if read.number == 0:
            tables["prompts"].add(_without_repeats(good).drop("answers"))
        answers = _answers(good)
        tables["responses"].add(answers)
        if said:
            tables[LABELS].add(identified_labels(said, answers))
            tables[GIVEN_SCORES].add(identified_scores(said, answers))
        rows += raw.height
    for table in tables.values():
        table.close()
    return rows, rejects, media


def settle_shard(folder: Path, shard: int) -> Merged:
    """A shard's prompts and responses from what was spooled."""
    rows, answers = unspool(folder, "prompts", shard), unspool(folder, "responses", shard)
    return merged(_NO_ROWS if rows is None else rows, _NO_ANSWERS if answers is None else answers)


def fail_on(rejects: pl.DataFrame, source: Source) -> None:
    """Raises SourceError for the first of the rejects, where the source is one that must have none."""
    if source.on_bad_row == "fail" and rejects.height:
        first = rejects.sort("source", "row").row(0, named=True)
        raise SourceError(f"{first['source']}, row {first['row']}: {shown(first['reason'])} (on_bad_row: fail)")


def refuse_empty(source: Source, rows: int, rejects: Sequence[pl.DataFrame]) -> None:
    """Raises SourceError, with the reasons met most often, where all rows of a source are rejects."""
    if not rows or sum(one.height for one in rejects) < rows:
        return
    bad = pl.concat(rejects).select("source", "row", "reason")
    if bad.n_unique(["source", "row"]) < rows:
        return
    reasons = (
        bad.sort("source", "row")
        .group_by("reason", maintain_order=True)
        .agg(pl.len(), first=pl.col("row").first())
        .sort("len", descending=True, maintain_order=True)
    )
    told = [f"{shown(why)} ({count:,}, first row {row})" for why, count, row in reasons.head(REASONS).iter_rows()]
    more = f"; and {reasons.height - REASONS:,} further reasons" if reasons.height > REASONS else ""
    raise SourceError(f"{source.source}: all {rows:,} rows are rejected: {'; '.join(told)}{more}")


def settle_said(folder: Path, shard: int, prompts: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """What labelled sources say of a shard's responses: the tables LABELS and GIVEN_SCORES."""
    nothing = {LABELS: empty(Labels), GIVEN_SCORES: empty(GivenScores)}
    rows = {name: unspool(folder, name, shard) for name in nothing}
    found = {name: nothing[name] if one is None else one for name, one in rows.items()}
    return {LABELS: merged_labels(found[LABELS], prompts), GIVEN_SCORES: merged_scores(found[GIVEN_SCORES], prompts)}


def _columns(part: Part, source: Source, number: int) -> Columns | LabelledColumns:
    if not part.names:
        return NO_COLUMNS
    labelled = labelled_columns(source.columns, part.names, part.label)
    if labelled and number == 0:
        return labelled
    if labelled:
        return labelled._replace(columns=labelled.columns._replace(references=[], tags=[], texts={}))
    columns = settle(source.columns, part.names, part.label)
    return columns if number == 0 else columns._replace(references=[], tags=[], texts={})


def _without_repeats(good: pl.DataFrame) -> pl.DataFrame:
    """Without rows that say nothing new of their prompt; their answers are spooled on their own, and count them."""
    silent = pl.col("answers").list.len() == 0
    told = good.filter(~silent).unique(["prompt_id", "variant"], keep="first", maintain_order=True)
    return pl.concat([told, good.filter(silent)])


def _rejects(bad: pl.DataFrame, part: str) -> pl.DataFrame:
    return bad.select(source=pl.lit(part), row="row", reason="bad", excerpt="excerpt")


def _identified(raw: pl.DataFrame, number: int, part: str) -> pl.DataFrame:
    return raw.drop("bad").with_columns(
        prompt_ids(*(raw.get_column(name) for name in ("messages", "typed", "tools"))).alias("prompt_id"),
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
    told = [rows.get_column(name) for name in ("prompt_id", "text", "reasoning", "tool_calls")]
    return rows.with_columns(response_ids(*told).alias("response_id"))


_NO_ROWS = _identified(pl.DataFrame(schema=RAW), 0, "").drop("answers")
_NO_ANSWERS = _answers(_identified(pl.DataFrame(schema=RAW), 0, ""))
