"""Reading sources as streams of frames: Parquet, JSON Lines, CSV, and datasets in a folder or on the Hub.

Each reader yields frames with the source's own columns and `_row`, its 1-based row number; rows that are no records
at all come with a reason in `_bad`.
"""

import csv
import glob
import hashlib
import io
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pairwright.schemas.errors import SourceError
from pairwright.schemas.recipe import Source

BATCH = 16_384
"""Rows read at a time."""
JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
UNKNOWN_TO_POLARS = ("decimal256", "interval", "union")
COMPRESSION = {".gz": "gzip", ".zst": "zstd"}


class Records(NamedTuple):
    """Rows of one part of a source."""

    part: str
    """File or data set that the rows come from, as the recipe writes it."""
    frame: pl.DataFrame | None
    """Typed columns and `_row`, where the source has types."""
    objects: list[tuple[int, Any, str | None]]
    """(row, record, reason why it is none), where it has not."""


class Opened(NamedTuple):
    """A source that was found: what its content is called, and how to stream it."""

    version: str
    parts: list[tuple[str, Path | None]]
    source: Source

    def stream(self) -> Iterator[Records]:
        """The records of all parts, in order."""
        for label, path in self.parts:
            if path is None or path.is_dir():
                yield from _dataset(label, path, self.source)
            elif _bare_suffix(path) in JSON_ENDINGS:
                yield from _json_lines(label, path)
            elif _bare_suffix(path) == ".csv":
                yield from _csv(label, path)
            else:
                yield from _parquet(label, path)


def file_hash(path: Path) -> bytes:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).digest()


def open_source(source: Source, beside: Path, hash_of: Callable[[Path], bytes] = file_hash) -> Opened:
    """Find a source; relative paths start at `beside`, then at the working directory.

    `hash_of` is asked for each file's hash. Raises SourceError saying what was looked for and what lies there.
    """
    if source.source.startswith("hf://"):
        return Opened(_hub_revision(source), [(source.source, None)], source)
    for folder in (beside, Path()):
        pattern = str(Path(glob.escape(str(folder))) / source.source)
        found = sorted(Path(name) for name in glob.glob(pattern))  # noqa: PTH207 - absolute patterns
        if (folder / source.source).exists():  # a name that looks like a pattern
            found = [folder / source.source]
        if found:
            break
    else:
        raise SourceError(_not_found(source.source, beside))
    for path in found:
        _check_ending(path)
    state = hashlib.blake2b(digest_size=12)
    for path in found:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                state.update(hash_of(file))
    labels = [source.source if len(found) == 1 else _label(path, folder) for path in found]
    return Opened(state.hexdigest(), list(zip(labels, found, strict=True)), source)


def _label(path: Path, folder: Path) -> str:
    """What a file is called in messages and rejects: told apart from its namesakes, alike on every machine."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _bare_suffix(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix.lower() in COMPRESSION else path.suffix.lower()


def _check_ending(path: Path) -> None:
    allowed = (*JSON_ENDINGS, ".csv", ".parquet")
    if path.is_dir():
        if not list(path.glob("*.arrow")) and not (path / "dataset_dict.json").exists():
            raise SourceError(f"{path} is a folder but none that datasets wrote; name files, as in '{path}/*.parquet'")
    elif _bare_suffix(path) not in allowed:
        raise SourceError(
            f"{path}: cannot read {path.suffix or 'a file without ending'}; allowed: {', '.join(allowed)}"
        )


def _not_found(name: str, beside: Path) -> str:
    folder = (beside / name).parent
    if not folder.is_dir():
        return f"no source at {beside / name}: the folder {folder} does not exist"
    there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    return f"no source at {beside / name}; {folder} holds {', '.join(there[:12]) or 'nothing'}"


def _parquet(label: str, path: Path) -> Iterator[Records]:
    try:
        row = 1
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(BATCH):
                yield _from_arrow(label, pa.Table.from_batches([batch]), row)
                row += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} is not readable Parquet: {error}") from error


def _from_arrow(label: str, table: pa.Table, row: int) -> Records:
    """Typed rows; where texts are not UTF-8, which Arrow does not check by itself, records one by one."""
    numbers = pl.int_range(row, row + table.num_rows, dtype=pl.UInt64, eager=True).alias("_row")
    twice = [name for position, name in enumerate(table.column_names) if name in table.column_names[:position]]
    if twice:
        raise SourceError(f"{label} has two columns {twice[0]!r}; rename one")
    try:
        table.validate(full=True)
        untyped = any(word in str(kind) for kind in table.schema.types for word in UNKNOWN_TO_POLARS)
    except pa.ArrowInvalid:
        untyped = True
    if untyped:
        return Records(label, None, [_decoded(table.slice(i, 1), row + i) for i in range(table.num_rows)])
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return Records(label, frame.with_columns(numbers), [])


def _decoded(row: pa.Table, number: int) -> tuple[int, Any, str | None]:
    try:
        return number, row.to_pylist()[0], None
    except UnicodeDecodeError:
        return number, None, "the row is not valid UTF-8"
    except (ValueError, OverflowError) as error:
        return number, None, f"the row cannot be read: {error}"


def _dataset(label: str, path: Path | None, source: Source) -> Iterator[Records]:
    try:
        data = _loaded(path, source)
        row = 1
        for table in data.with_format("arrow").iter(batch_size=BATCH):
            yield _from_arrow(label, table, row)
            row += table.num_rows
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise SourceError(f"{label} cannot be read by datasets: {' '.join(str(error).split())}") from error


def _loaded(path: Path | None, source: Source) -> Any:
    import datasets

    if path is not None:
        data = datasets.load_from_disk(str(path))
        if isinstance(data, datasets.DatasetDict):
            if source.split not in data:
                raise SourceError(f"{path} has no split {source.split!r}; it has {', '.join(data)}")
            return data[source.split]
        return data
    name = source.source.removeprefix("hf://")
    return datasets.load_dataset(name, source.config, split=source.split, revision=source.revision, streaming=True)


def _hub_revision(source: Source) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    name = source.source.removeprefix("hf://")
    try:
        return f"hub:{name}@{HfApi().dataset_info(name, revision=source.revision).sha}"
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise SourceError(f"the Hub dataset {name} cannot be reached: {str(error).splitlines()[0]}") from error


def _open_bytes(path: Path) -> io.BufferedReader:
    codec = COMPRESSION.get(path.suffix.lower())
    raw: Any = pa.OSFile(str(path), "rb")
    return io.BufferedReader(pa.CompressedInputStream(raw, codec) if codec else raw, 1 << 20)


def _json_lines(label: str, path: Path) -> Iterator[Records]:
    try:
        with _open_bytes(path) as file:
            lines = enumerate(file, start=1)
            while chunk := list(islice(lines, BATCH)):
                yield Records(label, None, [_parsed(number, line) for number, line in chunk if line.strip()])
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


def _parsed(number: int, line: bytes) -> tuple[int, Any, str | None]:
    try:
        return number, orjson.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line), None
    except orjson.JSONDecodeError as error:
        try:
            line.decode()
        except UnicodeDecodeError:
            return number, None, "the line is not valid UTF-8"
        return number, line[:200].decode(errors="replace"), f"the line is not valid JSON: {error.msg}"


def _csv(label: str, path: Path) -> Iterator[Records]:
    csv.field_size_limit(1 << 30)
    try:
        with _open_bytes(path) as binary:
            text = io.TextIOWrapper(binary, encoding="utf-8-sig", errors="surrogateescape", newline="")
            rows = csv.reader(text)
            header = _csv_header(path, rows)
            numbered = enumerate(rows, start=1)
            while chunk := list(islice(numbered, BATCH)):
                yield Records(label, None, [_csv_record(number, header, row) for number, row in chunk if row])
    except (pa.ArrowInvalid, OSError, csv.Error) as error:
        raise SourceError(f"{path} cannot be read: {error}") from error


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
