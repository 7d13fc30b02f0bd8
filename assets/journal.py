"""Journals: rows of paid work as they come in, in an Arrow IPC stream of which every whole batch can be read."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa


class Journal:
    """A new journal file. Whatever becomes of an `append`, the file holds whole batches only."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Raises OSError where the file cannot be made, and FileExistsError where there is one."""
        self._path = path
        self._buffer = io.BytesIO()
        self._file = path.open("xb", buffering=0)
        self._stream = pa.ipc.new_stream(self._buffer, schema)
        self._whole = 0

    def append(self, batches: list[pa.RecordBatch]) -> None:
        """Write rows to the disk at once. Raises OSError when it does not take them, and cuts off what it took."""
        for batch in batches:
            self._stream.write_batch(batch)
        rest = memoryview(self._taken())
        try:
            while rest:
                rest = rest[self._file.write(rest) or 0 :]
        except BaseException:
            os.ftruncate(self._file.fileno(), self._whole)
            raise
        self._whole = self._file.tell()

    def _taken(self) -> bytes:
        content = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return content

    def close(self) -> None:
        """Put the rows on the disk for good; a file without any goes. Readers need no mark of the stream's end."""
        try:
            if self._whole:
                os.fsync(self._file.fileno())
            else:
                self._path.unlink(missing_ok=True)
        finally:
            self._file.close()


def journal_frames(segments: list[Path]) -> Iterator[pl.DataFrame]:
    """Every whole batch of journal files, oldest first; a torn tail is left out."""
    for segment in segments:
        try:
            file = pa.OSFile(str(segment), "rb")
        except FileNotFoundError:
            continue  # another process has just made it part of its table, which is read after
        with file:
            try:
                reader = pa.ipc.open_stream(file)
            except pa.ArrowInvalid:
                continue  # killed before the header was whole: nothing was journalled
            batches = []
            try:
                while True:
                    batches.append(reader.read_next_batch())
            except (StopIteration, pa.ArrowInvalid, OSError):
                pass  # the end, or a batch that was being written
            frame = pl.from_arrow(pa.Table.from_batches(batches, reader.schema))
        if isinstance(frame, pl.DataFrame):
            yield frame
