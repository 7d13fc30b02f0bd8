"""Media of a source's rows on their way into the store: paths, data URIs and bytes are stored; addresses stay such."""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.storage.media import Seen, put_bytes, put_file
from pairwright.schemas.errors import short
from pairwright.schemas.media import LARGEST
from pairwright.schemas.tables import Media, empty

DATA_URI = re.compile(r"data:[^,]{0,200}?(;base64)?,", re.IGNORECASE)
ADDRESS = re.compile(r"https?://[^\s\x00-\x1f]{1,8000}", re.IGNORECASE)
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class Taken(NamedTuple):
    """A local file that was stored."""

    seen: Seen
    name: str


class MediaIntake:
    """Stores what the rows of one run's sources hold, and remembers which local files that were.

    A file that an earlier run has stored, and that is as it was then, is not read again.
    """

    def __init__(self, folder: Path, beside: Path, earlier: pl.DataFrame | None = None) -> None:
        self.folder, self.beside = folder, beside.resolve()
        self.earlier = {
            path: Taken(Seen(size, mtime), name)
            for path, size, mtime, name in (earlier if earlier is not None else empty(Media)).iter_rows()
        }
        self.taken: dict[str, Taken] = {}

    def alike(self) -> "MediaIntake":
        """Another for the same store, which knows of no file."""
        return MediaIntake(self.folder, self.beside)

    def within(self, folder: Path | None) -> "Within":
        """Takes what the rows of one part of a source hold. Paths start at its folder, and may not leave it."""
        return Within(self, folder.resolve() if folder is not None else None)

    def file(self, kind: str, path: Path) -> str:
        """Store a local file, unless it is; its name. Raises ValueError."""
        label = str(path.relative_to(self.beside)) if path.is_relative_to(self.beside) else str(path)
        known = self.taken.get(label) or self.earlier.get(label)
        if known is not None and known.seen == _seen(path) and (self.folder / known.name).exists():
            self.taken[label] = known
        else:
            name, seen = put_file(self.folder, kind, path)
            self.taken[label] = Taken(seen, name)
        return self.taken[label].name

    def frame(self) -> pl.DataFrame:
        """The local files of this run, as rows of the media table."""
        rows = [(label, *one.seen, one.name) for label, one in sorted(self.taken.items())]
        return pl.DataFrame(rows, schema=empty(Media).schema, orient="row")


class Within(NamedTuple):
    """What rows of one part of a source hold, taken into the store."""

    intake: MediaIntake
    folder: Path | None
    """Where its paths start; None where a source has no folder."""

    def keep(self, kind: str, value: Any) -> dict[str, str]:
        """{"media": name} or {"url": …} for what a part holds. Raises ValueError saying why it cannot be used."""
        if isinstance(value, Mapping):
            return self._held(kind, {key: one for key, one in value.items() if one is not None})
        if isinstance(value, bytes):
            return {"media": put_bytes(self.intake.folder, kind, value)}
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f"holds {short(value)}, expected a path, an address, a data URI or bytes")
        if found := DATA_URI.match(value):
            if not found[1]:
                raise ValueError("is a data URI without base64; write it as base64")
            return self._base64(kind, value[found.end() :])
        if ADDRESS.fullmatch(value):
            return {"url": value}
        if SCHEME.match(value) and not self._is_there(value):
            raise ValueError(f"is {short(value)}; allowed: a path, http(s), a data URI")
        return {"media": self.intake.file(kind, self._inside(value))}

    def _held(self, kind: str, value: Mapping[str, Any]) -> dict[str, str]:
        """Of an object, by the keys that `datasets` and the protocols have."""
        if isinstance(value.get("bytes"), bytes):
            return {"media": put_bytes(self.intake.folder, kind, value["bytes"])}
        if isinstance(value.get("bytes"), list):  # JSON has no bytes
            raise ValueError("holds bytes as a list; write base64")
        for key in ("base64", "data"):
            if isinstance(value.get(key), str):
                found = DATA_URI.match(value[key])
                return self._base64(kind, value[key][found.end() if found else 0 :])
            if isinstance(value.get(key), bytes):
                return self.keep(kind, value[key])
        for key in ("url", "path", "src", "file", kind, f"{kind}_url"):
            if isinstance(value.get(key), str):
                return self.keep(kind, value[key])
        told = ", ".join(sorted(map(str, value)))
        raise ValueError(
            f"holds an object with {short(told) if told else 'nothing'}; allowed: bytes, path, url, base64"
        )

    def _base64(self, kind: str, text: str) -> dict[str, str]:
        if len(text) * 3 // 4 > LARGEST[kind] + 3:
            raise ValueError(f"has {len(text) * 3 // 4:,} bytes; this may have {LARGEST[kind]:,}")
        try:
            content = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise ValueError("is not valid base64") from None
        return {"media": put_bytes(self.intake.folder, kind, content)}

    def _is_there(self, value: str) -> bool:
        try:
            return self.folder is not None and (self.folder / value).is_file()
        except (OSError, ValueError):
            return False

    def _inside(self, value: str) -> Path:
        """A path, links resolved. Raises ValueError for one that leaves the source's folder."""
        if self.folder is None:
            raise ValueError(f"is the path {short(value)}, but the source has no folder of its own")
        try:
            path = (self.folder / value).resolve()
        except (OSError, ValueError, RuntimeError):
            raise ValueError(f"is {short(value)}, which can be no path") from None
        if not path.is_relative_to(self.folder):
            raise ValueError(f"is {short(value)}, which lies outside the source's folder; put it there")
        return path


def unchanged(folder: Path, beside: Path, files: pl.DataFrame) -> bool:
    """Whether all local files that a run took are as they were, and what they were stored as in `folder` is there."""
    return all(
        Seen(size, mtime) == _seen(beside / path) and (folder / name).exists()
        for path, size, mtime, name in files.iter_rows()
    )


def _seen(path: Path) -> Seen | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return Seen(found.st_size, found.st_mtime_ns)
