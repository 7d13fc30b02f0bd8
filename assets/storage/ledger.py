"""Ledgers: tables of paid work, one row a key, that never lose a row and never pay for one twice.

Finished work is appended to a journal (an Arrow IPC stream beside the shard's Parquet file) at once; a killed run
leaves whole batches behind, and the next run reads them. When a shard is done, journal and table become one file by
an atomic rename. Work done under another shard count, or for another data set in the same data directory, is taken
over by key, because its folder is named by what the work is (a fingerprint), not by who asked for it.
"""

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl
import pyarrow as pa

from pairwright.assets.storage.journal import Journal, journal_frames
from pairwright.assets.storage.store import Shard, Workspace, content_version, read_table, stamp_of, write
from pairwright.schemas.dataframely import dy
from pairwright.schemas.errors import StoreError
from pairwright.schemas.files import locked, writing
from pairwright.schemas.row_order import ascends
from pairwright.schemas.tables import check, empty, types


class Ledger:
    """One shard of a table of paid work. Use as a context manager: it holds the shard's lock."""

    def __init__(
        self, workspace: Workspace, table: str, shard: Shard, schema: type[dy.Schema], wanted_by: list[str]
    ) -> None:
        self.path = workspace.file(table, shard)
        self.schema = schema
        self.wanted_by = wanted_by
        self._workspace, self._table, self._shard = workspace, table, shard
        self._journal: Journal | None = None
        self._lock: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        self._arrow: pa.Schema | None = None
        self._broken: set[Path] = set()

    def __enter__(self) -> "Ledger":
        self._lock = locked(self.path.with_suffix(".lock"))
        self._lock.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._close_journal()
        finally:
            self._lock.__exit__(kind, error, trace)

    def rows(self) -> pl.DataFrame:
        """All rows known: the shard's file and what journals hold beyond it. Later rows win over earlier failures."""
        journals = list(journal_frames(self._segments(), self._broken))  # first: what is merged since is in the table
        return _newest([*_parquet(self.path), *journals], self.schema)

    def missing(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """The rows of `wanted` (by its key) that have no answer yet, after taking over what lies elsewhere."""
        rows = self.rows().select(*self.wanted_by, "retry")
        left = wanted.join(rows, on=self.wanted_by, how="anti")
        failed = rows.filter("retry")
        if failed.height:
            left = pl.concat([left, wanted.join(failed, on=self.wanted_by, how="semi")])
        if left.height:
            adopted = self._adopt(left.select(self.wanted_by))
            left = left.join(adopted, on=self.wanted_by, how="anti")
        return left.sort(self.wanted_by)

    def append(self, frame: pl.DataFrame) -> None:
        """Write finished work to the journal at once: from here on a kill cannot lose it."""
        columns = pl.Schema(types(self.schema))
        lacking = [pl.lit(None, dtype).alias(name) for name, dtype in columns.items() if name not in frame.columns]
        rows = check(frame.with_columns(lacking).cast(columns), self.schema)
        table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
        self._keep(table.schema, table.to_batches())

    def append_row(self, row: dict[str, Any]) -> None:
        """Write one finished row at once, as cheaply as can be: its rules are checked when journal and table merge."""
        if self._arrow is None:
            self._arrow = empty(self.schema).to_arrow(compat_level=pl.CompatLevel.oldest()).schema
        batch = pa.RecordBatch.from_pylist([row], schema=self._arrow)
        self._keep(self._arrow, [batch])

    def _keep(self, schema: pa.Schema, batches: list[pa.RecordBatch]) -> None:
        """Append to this build's own journal. Raises StoreError when the disk is full; the next rows begin another."""
        with writing(self.path):
            self._journal = self._journal or Journal(self._next_segment(), schema)
            try:
                self._journal.append(batches)
            except BaseException:
                self._journal.close()
                self._journal = None
                raise

    def journalled(self) -> pl.DataFrame:
        """The rows that journals hold beyond the file: those of this build, or of one that was killed."""
        return _newest(list(journal_frames(self._segments())), self.schema)

    def merge(self, work: str) -> None:
        """Make file and journals one. `work` names what was wanted; it is remembered once nothing needs a retry."""
        segments = self._segments()
        if not segments and self.path.exists() and stamp_of(self.path).get("work") == work:
            return
        self._close_journal()
        rows = check(_in_order(self.rows(), self.schema.primary_key()), self.schema)
        complete = not rows.get_column("retry").any()
        write(rows, self.path, {"version": content_version(rows), "work": work if complete else None})
        for segment in segments:
            if segment in self._broken:  # what could not be read is nowhere else
                segment.replace(segment.with_suffix(".damaged"))
            else:
                segment.unlink(missing_ok=True)  # one without rows is gone when it is closed

    def is_done(self, work: str) -> bool:
        """Whether just that was wanted before, nothing needs a retry, and no journal waits."""
        return not self._segments() and stamp_of(self.path).get("work") == work

    def _adopt(self, left: pl.DataFrame) -> pl.DataFrame:
        """Copy answers to `left` from other layouts and data sets with the same folder name; their keys."""
        frames = []
        for path in sorted(self._workspace.data.glob(f"*/{self._table}/*-of-*")):
            index, _, count = path.name.split(".")[0].partition("-of-")
            if not (index.isdecimal() and count.isdecimal()):
                continue  # somebody's copy
            if path.with_suffix("") == self.path.with_suffix("") or _segment_of(path, self.path):
                continue
            if path.suffix not in {".parquet", ".arrows"} or not Shard(int(index), int(count)).overlaps(self._shard):
                continue
            known = _parquet(path) if path.suffix == ".parquet" else journal_frames([path])
            frames += [frame.join(left, on=self.wanted_by, how="semi") for frame in known]
        rows = _newest(frames, self.schema).filter(~pl.col("retry"))
        if rows.height:
            mine = {"adopted": pl.lit(True)} if "adopted" in self.schema.columns() else {}
            self.append(rows.with_columns(**mine))
        return rows.select(self.wanted_by).unique()

    def _segments(self) -> list[Path]:
        stem = self.path.name.removesuffix(".parquet")
        return sorted(self.path.parent.glob(f"{stem}.*.arrows"))

    def _next_segment(self) -> Path:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        used = [int(path.name.split(".")[1]) for path in self._segments()]
        return self.path.with_suffix(f".{max(used, default=0) + 1:06d}.arrows")

    def _close_journal(self) -> None:
        journal, self._journal = self._journal, None
        if journal is not None:
            with writing(self.path):
                journal.close()


def _segment_of(segment: Path, table: Path) -> bool:
    return segment.parent == table.parent and segment.name.split(".")[0] == table.name.split(".")[0]


def _parquet(path: Path) -> list[pl.DataFrame]:
    return [read_table(path)] if path.exists() else []


def _in_order(rows: pl.DataFrame, key: list[str]) -> pl.DataFrame:
    """Sorted by key. Lists are moved in any case: that brings nulls within them to one form, and versions go by it."""
    in_order = ascends(rows, key) and not any(dtype.is_nested() for dtype in rows.dtypes)
    return rows if in_order else rows.sort(key)


def _newest(frames: list[pl.DataFrame], schema: type[dy.Schema]) -> pl.DataFrame:
    """One row a key: an answer over a failure, else the newest."""
    try:
        rows = pl.concat([empty(schema), *frames], how="diagonal_relaxed").cast(pl.Schema(types(schema)))
    except pl.exceptions.PolarsError as error:
        raise StoreError(f"a {schema.__name__.lower()} ledger has columns of another version: {error}") from error
    key = schema.primary_key()
    if ascends(rows, key) or (len(frames) < 2 and not rows.select(key).is_duplicated().any()):
        return rows
    return (
        rows.with_row_index("_age")
        .sort("retry", "_age", descending=[False, True])
        .unique(key, keep="first", maintain_order=True)
        .drop("_age")
    )
