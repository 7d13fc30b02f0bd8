"""Media in exports: within the rows of a Parquet file, as `datasets` reads them, or as files beside the rows."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pairwright.assets.publishing.formats.typed import media_of
from pairwright.schemas.content_parts import MEDIA
from pairwright.schemas.media import NAME, read_media

ROWS = 64
"""Rows with images that are held, and those of a row group: readers hold a group at a time, too."""
IMAGES = "images"
JSON_LISTS = ("prompt", "chosen", "rejected", "completion")
"""Columns whose lists hold messages as JSON."""
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write_parquet(rows: pl.LazyFrame, path: Path, folder: Path, group: int) -> None:
    """Rows whose messages are JSON, with images as bytes within: what `load_dataset` gives back as messages and images.

    Raises StoreError where a stored file is gone or damaged.
    """
    names = path.with_suffix(".names")
    rows.sink_parquet(names, row_group_size=group, engine="streaming")
    try:
        with pq.ParquetFile(names) as file:
            schema = _schema(file.schema_arrow)
            size = ROWS if IMAGES in schema.names else group
            with pq.ParquetWriter(path, schema, compression="zstd") as writer:
                for batch in file.iter_batches(size):
                    writer.write_table(_table(batch, schema, folder), row_group_size=size)
    finally:
        names.unlink(missing_ok=True)


def _schema(found: pa.Schema) -> pa.Schema:
    """The columns' types, and as `datasets` calls them."""
    fields = [pa.field(field.name, _type(field)) for field in found]
    features = {field.name: _feature(field.name, field.type) for field in fields}
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def _type(field: pa.Field) -> pa.DataType:
    if field.name == IMAGES:
        return pa.list_(_IMAGE)
    if field.name in JSON_LISTS:
        return pa.list_(pa.json_())
    return pa.string() if pa.types.is_large_string(field.type) or pa.types.is_string_view(field.type) else field.type


def _feature(name: str, kind: pa.DataType) -> dict[str, Any]:
    if name == IMAGES:
        return {"feature": {"_type": "Image"}, "_type": "List"}
    if name in JSON_LISTS:
        return {"feature": {"_type": "Json"}, "_type": "List"}
    told = {pa.float64(): "float64", pa.bool_(): "bool", pa.int64(): "int64"}.get(kind, str(kind))
    return {"dtype": told, "_type": "Value"}


def _table(batch: pa.RecordBatch, schema: pa.Schema, folder: Path) -> pa.Table:
    columns = []
    for field in schema:
        column = batch.column(field.name)
        if field.name == IMAGES:
            lists = [[_image(name, folder) for name in row] for row in column.to_pylist()]
            columns.append(pa.array(lists, field.type))
        else:
            columns.append(_messages(column) if field.name in JSON_LISTS else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _messages(column: pa.Array) -> pa.Array:
    """Lists of texts as lists of JSON."""
    lists = column.cast(pa.list_(pa.string()))
    messages = pa.ExtensionArray.from_storage(pa.json_(), lists.flatten())
    return pa.ListArray.from_arrays(lists.offsets, messages)


def _image(name: str, folder: Path) -> dict[str, Any]:
    """A stored image as bytes; an address as such, to be fetched by whoever reads it."""
    if NAME.fullmatch(name):
        return {"bytes": read_media(folder, name), "path": name}
    return {"bytes": None, "path": name}


def copy_media(table: pl.LazyFrame, folder: Path, out: Path) -> None:
    """Copy the stored files that conversations of a table show to a folder, each once.

    Raises StoreError where one is gone or damaged.
    """
    for turns in table.select(pl.col("turns").unique()).collect(engine="streaming").to_series():
        for name in {one for kind in MEDIA for one in media_of(turns, kind)}:
            if NAME.fullmatch(name) and not (out / name).exists():
                out.mkdir(exist_ok=True)
                (out / name).write_bytes(read_media(folder, name))
