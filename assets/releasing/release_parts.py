"""A shard's part of a release: put together here, or by any worker into files of its own, in any order."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from pairwright.assets.display.progress import tell
from pairwright.assets.releasing.release_rows import CONTENT, Piece, optional_columns, shard_rows
from pairwright.assets.releasing.tally import Tally, tally_tables
from pairwright.assets.stages.basis import Inputs
from pairwright.assets.stages.runner import SERIAL, Runner
from pairwright.assets.storage.integrity import read_record, record_text
from pairwright.assets.storage.split_writer import SplitWriter, Written
from pairwright.assets.storage.store import Shard
from pairwright.schemas.errors import StoreError
from pairwright.schemas.recipe import Recipe

RECORD = "part.json"
"""Written last: without it, a part is not whole."""
Parts = Callable[[Recipe, Inputs, Sequence[str], Path], Iterator[Iterable[Piece]]]
"""The parts of all shards in their order, from recipe, inputs, `optional` and a folder to use in between."""


class Content(NamedTuple):
    """The files of a release that hold its rows."""

    files: dict[str, Written]
    """By their names within the release."""
    total: Tally


def one_by_one(recipe: Recipe, inputs: Inputs, optional: Sequence[str], folder: Path) -> Iterator[Iterable[Piece]]:
    """The parts as this process makes them, without files in between."""
    return (shard_rows(recipe, inputs, shard, optional) for shard in inputs.each_shard())


def spread(runner: Runner) -> Parts:
    """Parts that a runner's workers make, each written aside and gone once it is read."""

    def parts(recipe: Recipe, inputs: Inputs, optional: Sequence[str], folder: Path) -> Iterator[Iterable[Piece]]:
        shards = list(inputs.each_shard())
        size = sum(inputs.file(table, shard).stat().st_size for table in ("responses", *CONTENT) for shard in shards)
        spreads = runner.for_bytes(size)
        if spreads is SERIAL:
            yield from one_by_one(recipe, inputs, optional, folder)
            return
        folders = [folder / shard.name for shard in shards]
        every = ((recipe, inputs, shard, optional, part) for shard, part in zip(shards, folders, strict=True))
        for part, _ in zip(folders, spreads.calls("release, shard", write_part, every), strict=True):
            yield read_part(part)
            shutil.rmtree(part)

    return parts


def write_part(recipe: Recipe, inputs: Inputs, shard: Shard, optional: Sequence[str], folder: Path) -> None:
    """Make a shard's part in a new folder of its own, for `read_part`; any process can, at any time."""
    folder.mkdir(parents=True)
    made = []
    for number, piece in enumerate(shard_rows(recipe, inputs, shard, optional)):
        name = f"{number:05d}.arrow"
        piece.rows.write_ipc(folder / name)
        made.append({"table": piece.table, "file": name, "tally": piece.tally})
    (folder / RECORD).write_text(record_text({"pieces": made}), encoding="utf-8")


def read_part(folder: Path) -> Iterator[Piece]:
    """The rows of a part as `shard_rows` gave them. Raises StoreError for a part that is not whole."""
    record = read_record(folder / RECORD)
    if record is None:
        raise StoreError(f"{folder} holds no whole part of a release; build again")
    for one in record["pieces"]:
        rows = pl.read_ipc(folder / one["file"])
        yield Piece(one["table"], rows, Tally(*one["tally"]))


def put_together(recipe: Recipe, inputs: Inputs, aside: Path, parts: Parts, drawn_into: str) -> Content:
    """Write the rows of all shards into the files of a release, under `aside`."""
    between = aside.with_name("parts")
    total = Tally()
    with SplitWriter(aside / CONTENT[0]) as pairs, SplitWriter(aside / CONTENT[1]) as rankings:
        writers = dict(zip(CONTENT, (pairs, rankings), strict=True))
        made = parts(recipe, inputs, optional_columns(inputs), between)
        for shard, pieces in zip(inputs.each_shard(), made, strict=True):
            for piece in pieces:
                writers[piece.table].add(piece.rows)
                total = total.plus(piece.tally)
            total = total.plus(tally_tables(inputs, shard, drawn_into))
            tell("release", shard.index + 1, shard.count)
    files = {f"{table}/{one.path.name}": one for table in CONTENT for one in writers[table].files}
    return Content(files, total)
