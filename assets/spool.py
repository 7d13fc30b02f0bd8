"""Scratch files for taking sources in: rows grow into one Arrow file a shard, so that memory holds only one of them."""

from pathlib import Path

import polars as pl
import pyarrow as pa

from pairwright.schemas.ids import shard_of


class Spool:
    """One growing Arrow file a shard."""

    def __init__(self, folder: Path, table: str, shards: int) -> None:
        self.folder, self.table, self.shards = folder, table, shards
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}

    def add(self, frame: pl.DataFrame) -> None:
        """Append each row to its prompt's shard."""
        shard = shard_of(pl.col("prompt_id"), self.shards)
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


def unspool(folder: Path, table: str, shard: int) -> pl.DataFrame | None:
    """The rows of a table's shard; None where there are none."""
    path = spooled(folder, table, shard)
    if not path.exists():
        return None
    with pa.memory_map(str(path)) as file:
        frame = pl.from_arrow(pa.ipc.open_stream(file).read_all())
    assert isinstance(frame, pl.DataFrame)
    return frame
