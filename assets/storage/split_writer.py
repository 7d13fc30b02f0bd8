"""Writing a split table as Parquet files whose bytes depend on the rows alone, not on how they arrive."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

GROUP = 8_192
"""Rows of a row group, which is what the writer holds."""
AHEAD = 2
"""Frames that may wait for the writer."""
FILE = 524_288
"""Rows of a file, a multiple of GROUP."""


class SplitWriter:
    """Writes frames with a `split` column to `<folder>/<split>-00000.parquet` and on, while the next are made.

    A context manager; `files` holds path and rows of each file once it is left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[tuple[Path, int]] = []
        self._splits: dict[str, _Rolling] = {}
        self._thread = ThreadPoolExecutor(1)  # one: rows keep their order
        self._waiting: deque[Future[None]] = deque()
        folder.mkdir(parents=True)

    def __enter__(self) -> "SplitWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            while self._waiting:
                self._waiting.popleft().result()
            if kind is None:
                self.files = [made for name in sorted(self._splits) for made in self._splits[name].close()]
        finally:
            self._thread.shutdown()

    def add(self, frame: pl.DataFrame) -> None:
        """Append rows in their order, each to its split."""
        self._waiting.append(self._thread.submit(self._write, frame))
        while len(self._waiting) > AHEAD:
            self._waiting.popleft().result()

    def _write(self, frame: pl.DataFrame) -> None:
        for (split,), rows in frame.partition_by("split", as_dict=True, include_key=False, maintain_order=True).items():
            table = _plain(rows.to_arrow(compat_level=pl.CompatLevel.oldest()))
            self._splits.setdefault(str(split), _Rolling(self.folder, str(split))).add(table)


class _Rolling:
    """Row groups of GROUP rows, files of FILE rows."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self.made: list[tuple[Path, int]] = []
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(waiting.num_rows for waiting in self._waiting) < GROUP:
            return
        table = pa.concat_tables(self._waiting)
        whole = table.num_rows // GROUP * GROUP
        for start in range(0, whole, GROUP):
            self._write(table.slice(start, GROUP))
        self._waiting = [table.slice(whole)]

    def close(self) -> list[tuple[Path, int]]:
        rest = pa.concat_tables(self._waiting)
        if rest.num_rows:
            self._write(rest)
        if self._writer is not None:
            self._finish(self._writer)
        return self.made

    def _write(self, group: pa.Table) -> None:
        if self._writer is None:
            path = self.folder / f"{self.split}-{len(self.made):05d}.parquet"
            self._writer = pq.ParquetWriter(
                path,
                group.schema,
                compression="zstd",
                use_dictionary=_repeating(group),
                write_statistics=[field.name for field in group.schema if not pa.types.is_nested(field.type)],
            )
            self._rows = 0
        self._writer.write_table(group.combine_chunks(), row_group_size=GROUP)
        self._rows += group.num_rows
        if self._rows >= FILE:
            self._finish(self._writer)

    def _finish(self, writer: pq.ParquetWriter) -> None:
        writer.close()
        self.made.append((self.folder / f"{self.split}-{len(self.made):05d}.parquet", self._rows))
        self._writer = None


def _repeating(table: pa.Table) -> list[str]:
    """Columns whose values repeat, for which a dictionary pays; texts and ids do not."""
    return [name for name in table.column_names if name in {"source", "license", "domain"} or "policies" in name]


def _plain(table: pa.Table) -> pa.Table:
    """With the 32-bit `string` and `list` types that every reader of Parquet and `datasets` knows."""
    return table.cast(pa.schema([pa.field(field.name, _small(field.type)) for field in table.schema]))


def _small(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_list(kind) or pa.types.is_list(kind):
        return pa.list_(pa.field("item", _small(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(kind.field(i).name, _small(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind
