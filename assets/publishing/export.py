"""Exports: a release in the layout that a trainer reads, streamed, written aside and renamed whole."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from pairwright.assets.display.progress import tell
from pairwright.assets.intake.splits import SPLITS
from pairwright.assets.publishing.export_readme import readme
from pairwright.assets.publishing.formats.base import Format, also_there
from pairwright.assets.publishing.formats.typed import PLACED, needs, reasoned, typed_columns, with_tags
from pairwright.assets.publishing.media_files import copy_media, write_parquet
from pairwright.assets.releasing.versions import Release, scan_release, verify_release
from pairwright.assets.storage.integrity import file_hash, read_record, record_text
from pairwright.assets.storage.media import FOLDER
from pairwright.schemas.errors import DamagedError, PairwrightError, StoreError
from pairwright.schemas.files import commit, scratch_folder, sweep
from pairwright.schemas.kinds import kinds, nearest_kind

STAMP = "export.json"
"""What an export's folder holds beside its files: from which release and by which format they were made."""
GROUP = 8_192
"""Rows of a Parquet row group, which is what the writer holds."""


class Export(NamedTuple):
    """A release in one format."""

    path: Path
    stamp: dict[str, Any]
    fresh: bool
    """Whether it was written just now."""


def format_named(kind: str, **options: Any) -> Format:
    """The format of that kind. Raises PairwrightError listing those that exist, or naming an option it lacks."""
    known = kinds("format")
    if kind not in known:
        raise PairwrightError(
            f"format {kind!r} is not known{nearest_kind('format', kind)}; allowed: {', '.join(known)}"
        )
    lacking = sorted(set(options) - set(known[kind].model_fields))
    if lacking:
        raise PairwrightError(f"format {kind} has no {lacking[0]} variant; leave the option out")
    try:
        found = known[kind](**options)
    except ValidationError as error:
        raise PairwrightError(f"format {kind}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    assert isinstance(found, Format)
    return found


def export(made: Release, form: Format, out: Path, ours: bool = False) -> Export:
    """Write a release to a folder in a format: a file per split, what the target wants beside them, and a README.

    Nothing is seen at `out` until all of it is there. An earlier export there is replaced; made of the same release
    by the same format, it is left as it is, if its files are whole. Raises StoreError when `out` holds anything else
    (unless the folder is `ours`), when the release's files are not those of its manifest, when it lacks a column that
    the format reads, and when the disk is full.
    """
    stamp = {
        "dataset": made.manifest["dataset"],
        "version": made.version,
        "digest": made.manifest["digest"],
        "format": form.content(),
        "fingerprint": form.fingerprint,
    }
    known = _known(out, ours)
    if known is not None and _whole(out, known, ours) and {key: known.get(key) for key in stamp} == stamp:
        return Export(out, known, fresh=False)
    verify_release(made, (form.table,))
    with _aside(out.resolve()) as folder:
        files, left_out, told = _write(made, form, folder)
        stamp |= {"files": files, "left_out": left_out, **told}
        for name, text in _beside(made, form, folder, sorted(files)).items():
            (folder / name).write_text(text, encoding="utf-8")
        (folder / "README.md").write_text(readme(stamp, form), encoding="utf-8")
        (folder / STAMP).write_text(record_text(stamp, indent=2), encoding="utf-8")
    return Export(out, stamp, fresh=True)


def _known(out: Path, ours: bool) -> dict[str, Any] | None:
    """The stamp of the export at `out`, if there is one."""
    try:
        if (out / STAMP).is_file():
            return read_record(out / STAMP)
    except DamagedError as error:
        if ours:
            return {}
        raise StoreError(f"{str(error).partition('; ')[0]}; remove {out}, and export again") from error
    if not ours and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"{out} already holds something that is no export; name a folder that is new or empty")
    return None


def _whole(out: Path, known: dict[str, Any], ours: bool) -> bool:
    """Whether the files of an export are as its stamp says; of `ours`, which each build looks at, by their size."""
    try:
        if ours:
            return all((out / name).stat().st_size == one["bytes"] for name, one in known["files"].items())
        return all(file_hash(out / name) == one["blake2b"] for name, one in known["files"].items())
    except (OSError, KeyError, TypeError, AttributeError):
        return False


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends well and is removed when it does not."""
    sweep(out.parent, out.name)  # what exports left there that were killed
    try:
        with scratch_folder(out) as folder:
            yield folder
            commit(folder, out)
    except (OSError, pl.exceptions.PolarsError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"the export to {out} failed and left nothing there: {reason}") from error


def _beside(made: Release, form: Format, folder: Path, files: list[str]) -> dict[str, str]:
    """The small files that the target wants: name → text."""
    dataset = made.manifest["dataset"]
    typed = typed_columns(scan_release(made.path, form.table).collect_schema().names())
    if not (typed and form.place()):
        return form.beside(dataset, files)
    rows = pl.scan_ndjson(folder / files[0]) if form.ending == "jsonl" else pl.scan_parquet(folder / files[0])  # noqa: TID251
    return form.beside_typed(dataset, files, also_there(rows, "tools", "images", "audios", "videos"))


def _write(made: Release, form: Format, folder: Path) -> tuple[dict[str, Any], dict[str, int], dict[str, Any]]:
    """The files by name, with rows and bytes; how many rows of the release were left out, by split; and of a release
    with more than texts what they would have needed, and how many rows lost their reasoning."""
    files: dict[str, Any] = {}
    left_out: dict[str, int] = {}
    lacking, stripped = Counter[str](), 0
    partial = _partial(made, form)
    for split in SPLITS:
        paths = sorted((made.path / form.table).glob(f"{split}-*.parquet"))
        if not paths:
            continue
        table = pl.scan_parquet(paths, glob=False).drop(partial)  # noqa: TID251 - held against the manifest
        missing = [name for name in form.requires if name not in table.collect_schema()]
        if missing:
            raise StoreError(
                f"format {form.name} reads {', '.join(missing)}, which {made.manifest['dataset']} {made.version} "
                "does not have: no response came with steps; name them in the source's `columns: {steps, step_labels}`"
            )
        fits, more = form.fits(), typed_columns(table.collect_schema().names())
        if more:
            place = _place(table, form, lacking)
            fits = place if fits is None else fits & place
        if fits is not None:
            left_out[split] = table.select((~fits).sum()).collect(engine="streaming").item()
            table = table.filter(fits) if left_out[split] else table
        if more and form.reasoning == "strip":
            stripped += table.select(reasoned(more).sum()).collect(engine="streaming").item()
        if more and form.reasoning == "think-tags" and not form.place():
            table = with_tags(table)
        rich = bool(more and form.place())
        if rich:
            table = form.typed(table)
        media = made.path.parent.parent / FOLDER
        for stem, rows in form.files(split, table).items():
            path = folder / f"{stem}.{form.ending}"
            if rich and form.ending == "parquet":
                write_parquet(rows, path, media, GROUP)
            else:
                _sink(rows, path)
            files[path.name] = _described(path)
            if not files[path.name]["rows"]:  # readers stop at an empty file
                path.unlink()
                del files[path.name]
            elif rich and form.ending == "jsonl":
                copy_media(table, media, folder / FOLDER)
            tell(f"export {form.name}", len(files))
    if not files:
        raise StoreError(
            f"{made.manifest['dataset']} {made.version} has no row that {form.name} can hold; "
            f"not in this format: {'; '.join(form.loses())}"
        )
    told = {"lacking": dict(sorted(lacking.items()))} if lacking else {}
    return files, left_out, told | ({"reasoning_stripped": stripped} if stripped else {})


def _place(table: pl.LazyFrame, form: Format, lacking: Counter[str]) -> pl.Expr:
    """Which rows of a table with more than texts the format has a place for; what others need is counted."""
    place = form.place() | (frozenset() if form.reads_placeholders else {PLACED})
    beyond = needs(table.collect_schema().names()).list.set_difference(pl.lit(sorted(place), pl.List(pl.String)))
    found = table.select(what=beyond).filter(pl.col("what").list.len() > 0).collect(engine="streaming")
    lacking.update(found.get_column("what").explode().to_list())
    return beyond.list.len() == 0


def _partial(made: Release, form: Format) -> list[str]:
    """The columns that must be complete to go along, and are not."""
    table = scan_release(made.path, form.table)
    there = [name for name in form.complete if name in table.collect_schema()]
    gaps = table.select(pl.col(there).has_nulls()).collect(engine="streaming") if there else pl.DataFrame()
    return there if any(any(column) for column in gaps) else []


def _sink(rows: pl.LazyFrame, path: Path) -> None:
    if path.suffix == ".jsonl":
        rows.sink_ndjson(path, engine="streaming")
    else:
        rows.sink_parquet(path, row_group_size=GROUP, engine="streaming")


def _described(path: Path) -> dict[str, Any]:
    """Rows, bytes and hash of a file that was just written."""
    if path.suffix == ".parquet":
        rows = pq.read_metadata(path).num_rows
    else:
        with path.open("rb") as file:
            rows = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    return {"rows": rows, "bytes": path.stat().st_size, "blake2b": file_hash(path)}
