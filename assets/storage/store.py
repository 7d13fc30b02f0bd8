"""Tables on disk: one Parquet file per table and shard, replaced atomically, stamped with what it was made from."""

import hashlib
import io
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

import polars as pl
import pyarrow as pa

from pairwright.assets.storage import integrity
from pairwright.schemas.errors import DamagedError, StoreError
from pairwright.schemas.files import replacing
from pairwright.schemas.tables import GAINED

STAMP = "pairwright"
GIVEN = "given"
"""The responses of the sources, where there are others besides."""
DERIVED = ("prompts", GIVEN, "responses", "labels", "given_scores", "preferences", "candidates", "pairs", "rankings")
"""Tables that cost nothing to make again."""
ROW_GROUP = 65_536
"""Rows of a Parquet row group: what a streaming reader holds at a time."""
LEVEL = 1
"""Of zstd's: a quarter less CPU than the usual level, for files a sixteenth larger."""


class Shard(NamedTuple):
    """The `index`-th of `count` ranges of prompt ids."""

    index: int  # type: ignore[assignment]
    count: int  # type: ignore[assignment]

    @property
    def name(self) -> str:
        """File name without its ending."""
        return f"{self.index:05d}-of-{self.count:05d}"

    def overlaps(self, other: "Shard") -> bool:
        """Whether the two ranges share ids."""
        return self.index * other.count < (other.index + 1) * self.count and (
            other.index * self.count < (self.index + 1) * other.count
        )


class Named(Protocol):
    """What names a data set and says how it is cut: a recipe."""

    @property
    def dataset(self) -> str:
        """Its name."""

    @property
    def shards(self) -> int:
        """How many."""


class Workspace(NamedTuple):
    """Where the tables of one data set lie: `<data>/<dataset>/<table>/<shard>.parquet`."""

    data: Path
    dataset: str
    shards: int

    @classmethod
    def of(cls, recipe: Named, data: Path | None = None) -> "Workspace":
        """The workspace of a recipe under a data directory, by default the one PAIRWRIGHT_DATA names."""
        return cls(data or Path(os.environ.get("PAIRWRIGHT_DATA", "data")), recipe.dataset, recipe.shards)

    @property
    def root(self) -> Path:
        """The data set's own folder."""
        return self.data / self.dataset

    @property
    def releases(self) -> Path:
        """The folder of its versions."""
        return self.root / "releases"

    def each_shard(self) -> Iterator[Shard]:
        """All shards, in the order of their prompt ids."""
        return (Shard(index, self.shards) for index in range(self.shards))

    def file(self, table: str, shard: Shard) -> Path:
        """The Parquet file of a table's shard."""
        return self.root / table / f"{shard.name}.parquet"

    def files(self, table: str) -> list[Path]:
        """The files of all shards of a table. Raises StoreError naming those that are missing."""
        paths = [self.file(table, shard) for shard in self.each_shard()]
        missing = [path.name for path in paths if not path.exists()]
        if missing:
            raise StoreError(
                f"table {table} of {self.dataset} lacks {len(missing)} of {len(paths)} shards "
                f"({', '.join(missing[:3])}); `pairwright build` makes them"
            )
        return paths


def write(frame: pl.DataFrame, path: Path, stamp: dict[str, Any]) -> None:
    """Write a table's file under another name and rename it into place, with `stamp` in its footer.

    The footer travels with the rename, so a file never carries another file's stamp or checksum.
    """
    metadata = {STAMP: json.dumps(stamp, sort_keys=True), integrity.SUM: integrity.BLANK}
    with replacing(path) as temporary:
        frame.write_parquet(temporary, metadata=metadata, row_group_size=ROW_GROUP, compression_level=LEVEL)
        integrity.seal(temporary)
    integrity.trust(path)


def write_record(path: Path, content: dict[str, Any]) -> None:
    """Write a small JSON record whole or not at all, with its checksum."""
    with replacing(path) as temporary:
        temporary.write_text(integrity.record_text(content), encoding="utf-8")


def read_table(path: Path, columns: list[str] | None = None) -> pl.DataFrame:
    """The rows of a table's file. Raises DamagedError for one that is not what was written."""
    integrity.verify(path)
    try:
        return pl.read_parquet(path, columns=columns, glob=False)  # noqa: TID251 - verified above
    except pl.exceptions.PolarsError as error:
        raise integrity.damaged(path, error) from error


def scan(paths: Sequence[Path]) -> pl.LazyFrame:
    """Lazy rows of several files of one table, in the order given. Raises DamagedError as `read_table` does.

    The columns are those of the first file: others may be older, or younger.
    """
    for path in paths:
        integrity.verify(path)
    return pl.scan_parquet(  # noqa: TID251 - verified above
        list(paths), glob=False, missing_columns="insert", extra_columns="ignore"
    )


def stamp_of(path: Path) -> dict[str, Any]:
    """The stamp in a file's footer; empty where there is no file. Raises DamagedError for a damaged file."""
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_metadata(path).metadata or {}
        return dict(json.loads(metadata.get(STAMP.encode(), b"{}")))
    except FileNotFoundError:
        return {}
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        raise integrity.damaged(path, error) from error


def last_stamp(path: Path) -> dict[str, Any]:
    """The stamp of a table that costs nothing to make again; empty, so that it is made, where it is damaged."""
    try:
        return stamp_of(path)
    except DamagedError:
        return {}


def version_of(path: Path) -> str:
    """What the content of a file is called: changes if and only if its rows do."""
    stamp = stamp_of(path)
    if "version" not in stamp:
        raise StoreError(f"{path} is missing or was not written by Pairwright; `pairwright build` makes it")
    return str(stamp["version"])


class _Hashed(io.RawIOBase):
    """Takes what is written to it into a hash, and keeps none of it."""

    def __init__(self) -> None:
        self.state = hashlib.blake2b(digest_size=12)

    def write(self, content: Any) -> int:
        self.state.update(content)
        return len(content)


def content_version(frame: pl.DataFrame) -> str:
    """Hash of a frame's rows in their order."""
    hashed = _Hashed()
    plain = pl.CompatLevel.oldest()  # newer string views have other bytes for equal texts, by where they came from
    for column in frame.iter_columns():
        if column.name in GAINED and column.null_count() == frame.height:
            continue
        column = column.cast(pl.UInt8) if column.dtype == pl.Boolean else column  # bitmaps may end in any bits
        for part in (column.drop_nulls(), column.is_null().arg_true()):  # nulls may hide any value
            sink = cast(IO[bytes], hashed)
            part.rechunk().to_frame().write_ipc(sink, compression="uncompressed", compat_level=plain)
    return hashed.state.hexdigest()
