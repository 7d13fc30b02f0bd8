"""Reading Parquet and datasets: typed columns where polars surely holds them, otherwise records one by one."""

from collections.abc import Collection, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pairwright.assets.intake.records import BATCH, BATCH_BYTES, Part, Records, one_line, readable
from pairwright.schemas.errors import SourceError
from pairwright.schemas.sources import Source

BUFFER = 1 << 20
"""Bytes of a file that are read at a time."""
LARGE_ROW = 1 << 20
"""Bytes that a row with an image is taken for, where nothing tells."""
DEPTH = 8
"""Levels of nesting that go into a frame; no column of ours has as many."""


def open_parquet(label: str, path: Path) -> Part:
    """A Parquet file. Raises SourceError for one that is damaged or has a column twice."""
    what = f"{path} is not readable Parquet"

    def records(only: Collection[str] | None) -> Iterator[Records]:
        first = 1
        with readable(what):
            at_once = _rows_at_once(pq.read_metadata(path), only)
        # what is read ahead is a whole row group, whatever the rows in it weigh
        few = {"buffer_size": BUFFER, "pre_buffer": False} if at_once < BATCH else {}
        with readable(what), pq.ParquetFile(path, **few) as file:
            for batch in file.iter_batches(at_once, columns=_projection(names, only)):
                yield _from_arrow(label, _select(pa.Table.from_batches([batch]), only), first)
                first += batch.num_rows

    with readable(what), pq.ParquetFile(path) as file:
        names = list(file.schema_arrow.names) if file.metadata.num_rows else []
    _check_names(label, names)
    return Part(label, names, records)


def open_dataset(label: str, path: Path | None, source: Source) -> Part:
    """A folder that `datasets` wrote, or without a path the data set on the Hub that the source names."""
    what = f"{label} cannot be read by datasets"
    with readable(what):
        data = _loaded(path, source).with_format("arrow")
        tables = iter(data.iter(batch_size=_at_once(LARGE_ROW) if _has_bytes(data.features) else BATCH))
        head = next(tables, None)
    names = list(head.column_names) if head is not None else []
    _check_names(label, names)

    def records(only: Collection[str] | None) -> Iterator[Records]:
        first = 1
        with readable(what):
            for table in chain([head] if head is not None else [], tables):
                yield _from_arrow(label, _select(table, only), first)
                first += table.num_rows

    return Part(label, names, records)


def _rows_at_once(metadata: pq.FileMetaData, only: Collection[str] | None) -> int:
    """A batch, or less where the rows' columns take much room, as images do."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    wanted = (one for one in columns if only is None or one.path_in_schema.partition(".")[0] in only)
    return _at_once(sum(one.total_uncompressed_size for one in wanted) / max(metadata.num_rows, 1))


def _at_once(row_bytes: float) -> int:
    return max(1, min(BATCH, int(BATCH_BYTES / max(row_bytes, 1))))


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


def _has_bytes(features: Any) -> bool:
    """Whether a data set's rows hold bytes, as those with images and sounds do."""
    return features is not None and any("binary" in str(field.type) for field in features.arrow_schema)


def _check_names(label: str, names: list[str]) -> None:
    twice = [name for position, name in enumerate(names) if name in names[:position]]
    if twice:
        raise SourceError(f"{label} has two columns {twice[0]!r}; rename one")


def _projection(names: list[str], only: Collection[str] | None) -> list[str] | None:
    """The columns that Parquet need read; all where a name could be taken for a path into a nested column."""
    if only is None or not all(name and "." not in name for name in names):
        return None
    return [name for name in names if name in only]


def _select(table: pa.Table, only: Collection[str] | None) -> pa.Table:
    return table if only is None else table.select([name for name in table.column_names if name in only])


def _from_arrow(label: str, table: pa.Table, first: int) -> Records:
    """Typed rows; where a type or a text is none that polars can take, records one by one."""
    frame = _as_frame(table)
    if frame is None:
        return Records(label, None, [_decoded(table.slice(i, 1), first + i) for i in range(table.num_rows)])
    return Records(label, frame, [], first)


def _as_frame(table: pa.Table) -> pl.DataFrame | None:
    """The table for polars; None where it has other types, or texts that are not UTF-8."""
    try:
        table.validate(full=True)
        for position, field in enumerate(table.schema):
            if pa.types.is_dictionary(field.type):
                decoded = table.column(position).cast(field.type.value_type)
                table = table.set_column(position, field.name, decoded)
        if not all(_is_plain(kind) for kind in table.schema.types):
            return None
        frame = pl.from_arrow(table)
    except (pa.ArrowException, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
        return None
    assert isinstance(frame, pl.DataFrame)
    return frame


def _is_plain(kind: pa.DataType, depth: int = 0) -> bool:
    """Whether a type is one that texts, lists of them, messages and labels come in."""
    is_a = pa.types
    if is_a.is_list(kind) or is_a.is_large_list(kind) or is_a.is_fixed_size_list(kind):
        return depth < DEPTH and _is_plain(kind.value_type, depth + 1)
    if is_a.is_struct(kind):
        fields = [kind.field(position) for position in range(kind.num_fields)]
        distinct = 0 < len(fields) == len({field.name for field in fields})
        return distinct and depth < DEPTH and all(_is_plain(field.type, depth + 1) for field in fields)
    text = is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind)
    number = is_a.is_integer(kind) or is_a.is_float32(kind) or is_a.is_float64(kind)
    return text or number or is_a.is_null(kind) or is_a.is_boolean(kind)


def _decoded(row: pa.Table, number: int) -> tuple[int, Any, str | None]:
    """A row as Python values. Types that Arrow cannot turn into such raise almost anything."""
    try:
        return number, row.to_pylist()[0], None
    except UnicodeDecodeError:
        return number, None, "the row is not valid UTF-8"
    except Exception as error:
        return number, None, f"the row cannot be read: {one_line(error)}"
