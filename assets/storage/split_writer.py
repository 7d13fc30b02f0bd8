"""Writing a split table as Parquet files whose bytes depend on the rows alone, not on how they arrive."""

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pairwright.assets.storage.integrity import new_hash

GROUP = 8_192
"""Rows of a row group, which is what the writer holds."""
AHEAD = 1
"""Frames that may wait for the writer."""
FILE = 524_288
"""Rows of a file, a multiple of GROUP."""


class Written(NamedTuple):
    """A file of a split."""

    path: Path
    rows: int
    size: int
    """Bytes."""
    hash: str
    """As `file_hash` would find it."""


class SplitWriter:
    """Writes frames with a `split` column to `<folder>/<split>-00000.parquet` and on, while the next are made.

    A context manager; `files` holds what was written once it is left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Written] = []
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
        self.made: list[Written] = []
        self._waiting: list[pa.Table] = []
        self._file: _SplitFile | None = None

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        if sum(waiting.num_rows for waiting in self._waiting) < GROUP:
            return
        table = pa.concat_tables(self._waiting)
        whole = table.num_rows // GROUP * GROUP
        for start in range(0, whole, GROUP):
            self._write(table.slice(start, GROUP))
        self._waiting = [table.slice(whole)]

    def close(self) -> list[Written]:
        rest = pa.concat_tables(self._waiting)
        if rest.num_rows:
            self._write(rest)
        if self._file is not None:
            self.made.append(self._file.close())
        return self.made

    def _write(self, group: pa.Table) -> None:
        if self._file is None:
            self._file = _SplitFile(self.folder / f"{self.split}-{len(self.made):05d}.parquet", group)
        self._file.write(group)
        if self._file.rows >= FILE:
            self.made.append(self._file.close())
            self._file = None


class _SplitFile:
    """A Parquet file."""

    def __init__(self, path: Path, like: pa.Table) -> None:
        self.path, self.rows = path, 0
        self._bytes = _HashedFile(path)
        self._writer = pq.ParquetWriter(
            self._bytes,
            like.schema,
            compression="zstd",
            use_dictionary=_repeating(like),
            write_statistics=[field.name for field in like.schema if not pa.types.is_nested(field.type)],
        )

    def write(self, group: pa.Table) -> None:
        self._writer.write_table(group.combine_chunks(), row_group_size=GROUP)
        self.rows += group.num_rows

    def close(self) -> Written:
        self._writer.close()
        self._bytes.close()
        return Written(self.path, self.rows, self._bytes.size, self._bytes.hash.hexdigest())


class _HashedFile(io.RawIOBase):
    """A new file that is hashed as it is written, so that nobody has to read it for that."""

    def __init__(self, path: Path) -> None:
        self.hash, self.size = new_hash(), 0
        self._file = path.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self.hash.update(content)
        self.size += self._file.write(content)
        return len(content)

    def close(self) -> None:
        self._file.close()
        super().close()


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
