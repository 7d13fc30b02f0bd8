"""What a batch leaves on the disk, and its requests to the server: files up, batches made, results down."""

import contextlib
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import orjson

from pairwright.schemas.errors import StoreError


class Entry(NamedTuple):
    """A batch that was sent, or was about to be."""

    token: str
    batch: str | None
    """Its id; None until the server has told it."""
    ids: frozenset[str]
    """Custom ids of what is not collected yet."""
    begun: float
    """Unix time."""


class Journal:
    """Open batches: a small file each, beside the request file, in the folder of the replies."""

    def __init__(self, folder: Path | None) -> None:
        self._own = tempfile.TemporaryDirectory() if folder is None else None
        self.folder = folder or Path(str(self._own and self._own.name))

    def entries(self) -> list[Entry]:
        """All open batches."""
        found = []
        for path in sorted(self.folder.glob("*.json")):
            with contextlib.suppress(FileNotFoundError):  # another shard's process has just ended it
                found.append(self._entry(path))
        return found

    def _entry(self, path: Path) -> Entry:
        """An entry; a damaged one is put together from its request file, and its batch is asked for by its token.

        Raises StoreError where that is damaged, too.
        """
        try:
            row = orjson.loads(path.read_bytes())
            entry = Entry(row["token"], row["batch"], frozenset(map(str, row["ids"])), float(row["begun"]))
            if entry.token == path.stem and (entry.batch is None or isinstance(entry.batch, str)):
                return entry
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            pass
        requests = path.with_suffix(".jsonl")
        try:
            ids = frozenset(str(orjson.loads(line)["custom_id"]) for line in requests.read_bytes().splitlines())
        except (OSError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise StoreError(
                f"{path}, which notes a batch that was sent, is damaged, and so is {requests.name} ({error}); put "
                "copies back, or move both away and build again, which sends its requests once more"
            ) from error
        return Entry(path.stem, None, ids, path.stat().st_mtime)

    def open(self, ids: Iterable[str], lines: list[bytes]) -> tuple[Entry, Path]:
        """Write down a batch, and its request file, before it is sent."""
        self.folder.mkdir(parents=True, exist_ok=True)
        entry = Entry(uuid.uuid4().hex, None, frozenset(ids), time.time())
        file = self.folder / f"{entry.token}.jsonl"
        file.write_bytes(b"\n".join(lines) + b"\n")
        return self.write(entry), file

    def write(self, entry: Entry) -> Entry:
        """Write an entry whole or not at all."""
        path = self.folder / f"{entry.token}.json"
        aside = path.with_suffix(".part")
        aside.write_bytes(orjson.dumps(entry._asdict() | {"ids": sorted(entry.ids)}))
        aside.replace(path)
        return entry

    def forget(self, entry: Entry, collected: set[str] | None = None) -> None:
        """Take what was collected, by default all, out of an entry; an empty one goes with its request file."""
        left = entry.ids - collected if collected is not None else frozenset()
        if left:
            self.write(entry._replace(ids=left))
            return
        for ending in ("json", "jsonl"):
            (self.folder / f"{entry.token}.{ending}").unlink(missing_ok=True)
