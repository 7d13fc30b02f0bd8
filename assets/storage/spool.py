"""Scratch files for taking sources in: rows grow into one Arrow file a shard, so that memory holds only one of them."""

import os
from pathlib import Path

import polars as pl
import pyarrow as pa

from pairwright.schemas.ids import shard_of

HELD = 64 << 20
"""Bytes of rows that wait in memory, so that each shard's file is opened seldom, and one at a time."""


ORDER = b"order"


class Spool:
    """One growing file a shard, of Arrow streams one behind the other; at most one is open at a time.

    Each process has files of its own. `order` says where rows belong among those of other spools of the table.
    """

    def __init__(self, folder: Path, table: str, shards: int, order: int = 0) -> None:
        self.folder, self.table, self.shards, self.order = folder, table, shards, order
        self._waiting: list[pl.DataFrame] = []
        self._held = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Append each row to its prompt's shard, at the latest with `close`."""
        self._waiting.append(frame)
        self._held += int(frame.estimated_size())
        if self._held >= HELD:
            self.close()

    def close(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        shard = shard_of(pl.col("prompt_id"), self.shards)
        frame = pl.concat(self._waiting).with_columns(_shard=shard)
        self._waiting, self._held = [], 0
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        for (index,), part in frame.partition_by("_shard", as_dict=True, include_key=False).items():
            table = part.to_arrow(compat_level=pl.CompatLevel.oldest())
            table = table.replace_schema_metadata({ORDER: str(self.order)})
            with (
                (self.folder / f"{self.table}-{index:05d}-{os.getpid()}.arrows").open("ab") as file,
                pa.ipc.new_stream(file, table.schema, options=options) as writer,
            ):
                writer.write_table(table)


def spooled_bytes(folder: Path) -> int:
    """Of all that was spooled."""
    return sum(path.stat().st_size for path in folder.glob("*.arrows"))


def unspool(folder: Path, table: str, shard: int) -> pl.DataFrame | None:
    """The rows of a table's shard, in the order in which they were read; None where there are none."""
    tables = []
    for path in folder.glob(f"{table}-{shard:05d}-*.arrows"):
        with pa.memory_map(str(path)) as file:
            while file.tell() < file.size():
                tables.append(pa.ipc.open_stream(file).read_all())
    if not tables:
        return None
    tables.sort(key=lambda one: int(one.schema.metadata[ORDER]))  # stable: those of one spool stay in their order
    frame = pl.from_arrow(pa.concat_tables(tables))
    assert isinstance(frame, pl.DataFrame)
    return frame
