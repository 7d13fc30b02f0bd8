"""What a batch leaves on the disk, and its requests to the server: files up, batches made, results down."""

import contextlib
import json
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx2
import openai
import orjson

from pairwright.judges.llm.endpoint import Endpoint
from pairwright.judges.llm.wire import CONNECT
from pairwright.schemas.errors import StoreError

RETRIES = 6
"""Of the few requests that make and watch a batch, by the client, with its own pauses."""
LOOK_BACK = 200
"""Batches at the server that are looked through for one whose id was not noted before a kill."""
MARK = "pairwright"
"""The key of a batch's token in its metadata."""


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


class Server:
    """The files and batches of an endpoint."""

    def __init__(self, endpoint: Endpoint, retries: int = RETRIES) -> None:
        timeout = httpx2.Timeout(endpoint.deadline, connect=min(CONNECT, endpoint.deadline))
        self._client = openai.OpenAI(
            api_key=endpoint.secret or "none",
            base_url=endpoint.base_url,
            max_retries=retries,
            timeout=timeout,
            http_client=httpx2.Client(timeout=timeout, trust_env=False, follow_redirects=False),
        )
        self._client.organization = self._client.project = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def create(self, requests: Path, path: str, token: str) -> str:
        """Upload a request file and make its batch; the batch's id."""
        return self.make(self.upload(requests), path, token)

    def upload(self, requests: Path) -> str:
        """Upload a request file; its id."""
        return _sane(lambda: self._client.files.create(file=requests, purpose="batch")).id

    def make(self, file: str, path: str, token: str) -> str:
        """Make a batch of an uploaded file; the batch's id."""
        to: Any = f"/v1{path}"
        # a retry after a lost reply would make, and charge, a second batch
        once = self._client.with_options(max_retries=0)
        asked: Any = {"input_file_id": file, "endpoint": to, "completion_window": "24h", "metadata": {MARK: token}}
        return _sane(lambda: once.batches.create(**asked)).id

    def find(self, token: str) -> str | None:
        """The id of the batch that was made with that token."""
        for place, batch in enumerate(self._client.batches.list(limit=100)):
            if (batch.metadata or {}).get(MARK) == token:
                return batch.id
            if place >= LOOK_BACK:
                break
        return None

    def retrieve(self, batch: str) -> Any:
        """The state of a batch."""
        return _sane(lambda: self._client.batches.retrieve(batch))

    def cancel(self, batch: str) -> None:
        """End a batch early; one that has ended already stays as it is."""
        with contextlib.suppress(openai.APIStatusError):
            self._client.batches.cancel(batch)

    def delete(self, file: str) -> None:
        """Delete a file."""
        self._client.files.delete(file)

    def content(self, file: str) -> bytes:
        """A result file."""
        return self._client.files.content(file).content


def _sane(ask: Callable[[], Any]) -> Any:
    """What the client makes of a reply. Raises OpenAIError for one without an id, as of a page in place of JSON."""
    try:
        found = ask()
    except json.JSONDecodeError as error:
        found = error.doc
    if not isinstance(getattr(found, "id", None), str):
        raise openai.OpenAIError(f"not the OpenAI protocol: {str(found).strip()[:60]!r}")
    return found


def line_of(custom_id: str, path: str, body: dict[str, Any], attempt: int) -> bytes:
    """A line of a request file; a further attempt asks with another seed."""
    body = {**body, "seed": body["seed"] + attempt} if "seed" in body else body
    return orjson.dumps({"custom_id": custom_id, "method": "POST", "url": f"/v1{path}", "body": body})


def results(content: bytes) -> Iterator[tuple[str, int, str | None, str]]:
    """Custom id, status (0 without any), body and problem of each line of a result file that can be read."""
    for line in content.splitlines():
        try:
            row = orjson.loads(line)
            name, reply = row["custom_id"], row.get("response") or {}
            status, body = int(reply.get("status_code") or 0), reply.get("body")
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
            continue  # counts as lost, and is sent again
        text = orjson.dumps(body).decode() if isinstance(body, dict) else None
        yield str(name), status, text, str(row.get("error") or text)[:300]
