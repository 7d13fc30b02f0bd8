"""Finding sources and opening their parts: Parquet, JSON Lines, CSV, and datasets in a folder or on the Hub."""

import glob
import hashlib
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from pairwright.assets.intake.columns import wanted_names
from pairwright.assets.intake.read_arrow import open_dataset, open_parquet
from pairwright.assets.intake.read_text import COMPRESSION, field_names, open_csv, open_json_lines
from pairwright.assets.intake.records import Part
from pairwright.schemas.errors import SourceError
from pairwright.schemas.sources import Source

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")


class Opened(NamedTuple):
    """A source that was found: what its content is called, and how to stream it."""

    version: str
    parts: list[tuple[str, Path | None]]
    source: Source

    @property
    def size(self) -> int:
        """Bytes of its files; 0 where it is on the Hub."""
        files = [path for _, path in self.parts if path]
        each = [one for path in files for one in (path.rglob("*") if path.is_dir() else [path])]
        return sum(one.stat().st_size for one in each if one.is_file())

    def each_part(self, also: Collection[str] = ()) -> Iterator[Part]:
        """Each part with the names of its columns; those of JSON Lines are looked up in every record first.

        Of several files of JSON Lines, a field that the recipe names counts as a column of each if one has it. `also`
        are further fields to look for there.
        """
        columns = self.source.columns
        lines = [path for _, path in self.parts if path and _is_json(path)]
        names = {path: field_names(path, {*wanted_names(columns), *also}) for path in lines}
        mapped = [name for name in columns.named() if any(name in there for there in names.values())]
        for label, path in self.parts:
            if path is None or path.is_dir():
                yield open_dataset(label, path, self.source)._replace(folder=path)
                continue
            if path in names:
                there = names[path]
                part = open_json_lines(label, path, [*there, *(n for n in mapped if there and n not in there)])
            else:
                part = (open_csv if _bare_suffix(path) == ".csv" else open_parquet)(label, path)
            yield part._replace(folder=path.parent)


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
    try:
        folder, found = _found(source.source, beside, "pairs" if source.columns.chosen else "rankings")
        for path in found:
            _check_ending(path)
        state = hashlib.blake2b(digest_size=12)
        for path in found:
            for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if file.is_file():
                    state.update(hash_of(file))
    except (OSError, ValueError) as error:  # no right to read it, a name that no file can have
        raise SourceError(f"the source {source.source!r} cannot be read: {error}") from error
    labels = [source.source if len(found) == 1 else _label(path, folder) for path in found]
    return Opened(state.hexdigest(), list(zip(labels, found, strict=True)), source)


def _of_release(folder: Path, table: str) -> list[Path]:
    """The files of a release's table, where the folder is one of a release."""
    return sorted((folder / table).glob("*.parquet")) if (folder / "manifest.json").is_file() else []


def _found(name: str, beside: Path, table: str) -> tuple[Path, list[Path]]:
    """The files or the folder of that name, and the folder that it was looked up in."""
    for folder in (beside, Path()):
        pattern = str(Path(glob.escape(str(folder))) / name)
        found = sorted(Path(path) for path in glob.glob(pattern))  # noqa: PTH207 - absolute patterns
        if (folder / name).exists():  # a name that looks like a pattern
            found = _of_release(folder / name, table) or [folder / name]
        if found:
            return folder, found
    raise SourceError(_not_found(name, beside))


def _label(path: Path, folder: Path) -> str:
    """What a file is called in messages and rejects: told apart from its namesakes, alike on every machine."""
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _bare_suffix(path: Path) -> str:
    return Path(path.stem).suffix.lower() if path.suffix.lower() in COMPRESSION else path.suffix.lower()


def _is_json(path: Path) -> bool:
    return not path.is_dir() and _bare_suffix(path) in JSON_ENDINGS


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


def _hub_revision(source: Source) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    name = source.source.removeprefix("hf://")
    try:
        return f"hub:{name}@{HfApi().dataset_info(name, revision=source.revision).sha}"
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(f"the Hub dataset {name} cannot be reached: {reason}") from error
