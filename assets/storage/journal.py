"""Journals: finished work as an Arrow IPC stream, a checksum with every batch, of which what is whole can be read.

A killed process leaves a torn end, which never held a finished append. Anything else that cannot be read is damage:
what lies behind it is read all the same, and the file is kept.
"""

import functools
import hashlib
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from pairwright.assets.storage.integrity import damaged

MARK = b"\xff\xff\xff\xff"
"""How every message of a stream begins, at a multiple of eight bytes."""
SUM = b"sum"
_BROKEN = (pa.ArrowException, OSError, ValueError, EOFError)


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
            self._stream.write_batch(batch, custom_metadata={SUM: _checksum(batch)})
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


def _checksum(batch: pa.RecordBatch) -> bytes:
    return hashlib.blake2b(batch.serialize(), digest_size=8).hexdigest().encode()


def journal_frames(segments: list[Path], broken: set[Path] | None = None) -> Iterator[pl.DataFrame]:
    """Every whole batch of journal files, oldest first; a torn tail is left out.

    Files of which something else than the end could not be read are told, once, and put into `broken`. Raises
    DamagedError for a file that holds batches behind a header that cannot be read.
    """
    for segment in segments:
        frame, gap = _read(segment)
        if gap is not None:
            if broken is not None:
                broken.add(segment)
            _tell(segment, gap)
        if frame is not None:
            yield frame


@functools.cache
def _tell(segment: Path, gap: int) -> None:
    logging.getLogger("pairwright").warning(
        "%s is damaged at byte %d; what lies before and behind was read, the rest is done again, and the file is kept",
        segment,
        gap,
    )


def _read(segment: Path) -> tuple[pl.DataFrame | None, int | None]:
    """The rows of a journal, if it has a header, and the place of the first damage, if there is any."""
    try:
        content = segment.read_bytes()
    except FileNotFoundError:
        return None, None  # another process has just made it part of its table, which is read after
    except OSError as error:
        raise damaged(segment, error) from error
    source = pa.BufferReader(content)
    try:
        reader = pa.ipc.open_stream(source)
    except _BROKEN as error:
        if _next_message(content, 0) is not None:
            raise damaged(segment, f"its header: {error}") from error
        return None, None  # killed before the header was whole: nothing was journalled
    header, place, gap = content[: source.tell()], source.tell(), None
    batches = []
    while True:
        found, place = _batches(header, content, place, reader.schema)
        batches += found
        behind = _next_whole(content, place, reader.schema)
        if behind is None:
            break
        gap, place = (place if gap is None else gap), behind
    frame = pl.from_arrow(pa.Table.from_batches(batches, reader.schema))
    assert isinstance(frame, pl.DataFrame)
    return frame, gap


def _batches(header: bytes, content: bytes, place: int, schema: pa.Schema) -> tuple[list[pa.RecordBatch], int]:
    """The whole batches from `place` on, as far as they go, and where they end."""
    first = place == len(header)
    source = pa.BufferReader(content if first else header + content[place:])
    reader = pa.ipc.open_stream(source)
    shift = 0 if first else place - len(header)
    found, end = [], place
    try:
        while True:
            batch, told = reader.read_next_batch_with_custom_metadata()
            batch.validate(full=True)
            stated = (told or {}).get(SUM)
            if batch.schema != schema or (stated is not None and stated != _checksum(batch)):
                break
            found.append(batch)
            end = source.tell() + shift
    except StopIteration:
        end = source.tell() + shift
    except _BROKEN:
        pass
    return found, end


def _next_message(content: bytes, place: int) -> int | None:
    """Where the next message begins behind one at `place`."""
    at = content.find(MARK, place + 1)
    while at >= 0 and at % 8:
        at = content.find(MARK, at + 1)
    return at if at >= 0 else None


def _next_whole(content: bytes, place: int, schema: pa.Schema) -> int | None:
    """Where the next whole batch begins behind what cannot be read at `place`."""
    buffer = pa.py_buffer(content)
    at = _next_message(content, place)
    while at is not None:
        try:
            pa.ipc.read_record_batch(pa.ipc.read_message(buffer.slice(at)), schema).validate(full=True)
            return at
        except _BROKEN:
            at = _next_message(content, at)
    return None
