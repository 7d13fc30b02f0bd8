"""Reading JSON Lines and CSV, plain or compressed, as records one by one; row numbers count from 1."""

import csv
import io
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from pairwright.assets.intake.records import BATCH, BATCH_BYTES, Part, Records, readable
from pairwright.schemas.errors import SourceError

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
NAMES = 200
"""Fields of JSON Lines that are remembered beside those that can mean something: records may have any number."""
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def field_names(path: Path, wanted: Collection[str]) -> list[str]:
    """The top-level fields of a file of JSON Lines, over all its records, so that their order does not matter.

    Reads until every wanted one was seen, at most to the end.
    """
    names: dict[str, None] = {}
    missing = set(wanted)
    with readable(f"{path} cannot be read"), _open_bytes(path) as file:
        for number, line in enumerate(file, start=1):
            record = _parsed(number, line)[1]
            if not isinstance(record, dict) or names.keys() >= record.keys():
                continue
            missing -= record.keys()
            names.update((name, None) for name in record if name in wanted or len(names) < NAMES)
            if not missing:
                break
    return list(names)


def open_json_lines(label: str, path: Path, names: list[str]) -> Part:
    """A file of JSON Lines, whose fields are known."""

    def records(_: Collection[str] | None) -> Iterator[Records]:
        with readable(f"{path} cannot be read"), _open_bytes(path) as file:
            lines = enumerate(file, start=1)
            while chunk := _chunk(lines):
                yield Records(label, None, [_parsed(number, line) for number, line in chunk if line.strip()])

    return Part(label, names, records)


def _chunk(lines: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """The next lines: a batch, or less where they are long."""
    chunk, held = list[tuple[int, bytes]](), 0
    for one in lines:
        chunk.append(one)
        held += len(one[1])
        if len(chunk) == BATCH or held >= BATCH_BYTES:
            break
    return chunk


def open_csv(label: str, path: Path) -> Part:
    """A CSV file with a header. Raises SourceError for a header that cannot be used."""
    csv.field_size_limit(1 << 30)

    def records(_: Collection[str] | None) -> Iterator[Records]:
        with readable(f"{path} cannot be read"), _open_bytes(path) as binary:
            rows = _csv_rows(binary)
            header = _csv_header(path, rows)
            numbered = enumerate(rows, start=1)
            while chunk := list(islice(numbered, BATCH)):
                yield Records(label, None, [_csv_record(number, header, row) for number, row in chunk if row])

    with readable(f"{path} cannot be read"), _open_bytes(path) as binary:
        return Part(label, _csv_header(path, _csv_rows(binary)), records)


def _open_bytes(path: Path) -> io.BufferedReader:
    codec = COMPRESSION.get(path.suffix.lower())
    raw: Any = pa.OSFile(str(path), "rb")
    return io.BufferedReader(pa.CompressedInputStream(raw, codec) if codec else raw, 1 << 20)


def _parsed(number: int, line: bytes) -> tuple[int, Any, str | None]:
    try:
        return number, orjson.loads(line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line), None
    except orjson.JSONDecodeError as error:
        try:
            line.decode()
        except UnicodeDecodeError:
            return number, None, "the line is not valid UTF-8"
        return number, line[:200].decode(errors="replace"), f"the line is not valid JSON: {error.msg}"


def _csv_rows(binary: io.BufferedReader) -> Iterator[list[str]]:
    return csv.reader(io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline=""))


def _csv_header(path: Path, rows: Iterator[list[str]]) -> list[str]:
    header = next((row for row in rows if row), None)
    if header is None:
        raise SourceError(f"{path} is empty; a CSV source needs a header line")
    for position, name in enumerate(header):
        if not _is_unicode(name):
            raise SourceError(f"{path}: the header is not valid UTF-8; save the file as UTF-8")
        if name in header[:position]:
            raise SourceError(f"{path} has two columns {name!r}; rename one")
    return header


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _csv_record(number: int, header: list[str], row: list[str]) -> tuple[int, Any, str | None]:
    if len(row) != len(header):
        return (
            number,
            ",".join(row)[:200].encode(errors="replace").decode(),
            f"the row has {len(row)} fields, the header {len(header)}",
        )
    if not all(map(_is_unicode, row)):
        return number, None, "the row is not valid UTF-8"
    return number, dict(zip(header, row, strict=True)), None
