"""The requests that make and watch batches, and what a server may say to them: files up, batches made, results down."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import openai
import orjson

from pairwright.models.serving.bounded import FLOOR, TooLargeError, at_most
from pairwright.models.serving.endpoint import WINDOW, Endpoint
from pairwright.models.serving.redact import Secret, excerpt, without
from pairwright.models.serving.under_way import UnderWayError
from pairwright.models.serving.wire import BUSY, open_blocking_client, sealed, trouble
from pairwright.schemas.errors import JudgeError

ENDED = {"completed", "expired", "cancelled", "failed"}
"""States of a batch that will not change any more."""
LONGEST = WINDOW + 2 * 3600.0
"""Seconds after which a batch that was promised within a day counts as stuck."""
RETRIES = 6
"""Of the few requests that make and watch a batch, by the client, with its own pauses."""
LOOK_BACK = 200
"""Batches at the server that are looked through for one whose id was not noted before a kill."""
MARK = "pairwright"
"""The key of a batch's token in its metadata."""
LISTED = 32 * FLOOR
"""Bytes that a page of a hundred batches may have."""
DOWNLOAD = 3600.0
"""Seconds that a file of results may take."""
TOLD = ("status", "request_counts", "output_file_id", "error_file_id", "errors")
"""Fields of a batch that are read."""
NONSENSE = (ValueError, TypeError, AttributeError, RecursionError)
"""What the client raises over replies that are not of the protocol."""


class State(NamedTuple):
    """How far a batch is."""

    status: str
    done: int
    files: list[str]
    """Ids of its results and of its errors, as far as there are any."""
    has_results: bool
    reasons: str
    """Why it failed, if it did."""


class Server:
    """The files and batches of an endpoint. All methods raise openai.OpenAIError."""

    def __init__(self, endpoint: Endpoint, retries: int = RETRIES) -> None:
        self.secret = endpoint.secret
        self._client = open_blocking_client(endpoint, retries)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def create(self, requests: Path, path: str, token: str) -> str:
        """Upload a request file and make its batch; the batch's id."""
        return self.make(self.upload(requests), path, token)

    def upload(self, requests: Path) -> str:
        """Upload a request file; its id."""
        return str(self._sane(lambda: self._client.files.create(file=requests, purpose="batch")).id)

    def make(self, file: str, path: str, token: str) -> str:
        """Make a batch of an uploaded file; the batch's id."""
        to: Any = f"/v1{path}"
        # a retry after a lost reply would make, and charge, a second batch
        once = sealed(self._client.with_options(max_retries=0))
        asked: Any = {"input_file_id": file, "endpoint": to, "completion_window": "24h", "metadata": {MARK: token}}
        return str(self._sane(lambda: once.batches.create(**asked)).id)

    def find(self, token: str) -> str | None:
        """The id of the batch that was made with that token."""
        with at_most(LISTED):
            try:
                for batch in islice(self._client.batches.list(limit=100), LOOK_BACK):
                    marks, name = getattr(batch, "metadata", None), getattr(batch, "id", None)
                    if isinstance(marks, dict) and marks.get(MARK) == token and isinstance(name, str):
                        return name
            except NONSENSE as error:
                raise openai.OpenAIError(f"the list of batches cannot be read: {trouble(error, self.secret)}") from None
        return None

    def retrieve(self, batch: str) -> State:
        """The state of a batch."""
        found = self._sane(lambda: self._client.batches.retrieve(batch))
        told = {name: getattr(found, name, None) for name in TOLD}
        if found.id != batch or not isinstance(told["status"], str):
            raise openai.OpenAIError(f"asked for batch {batch}, the server told of another, or of none")
        counts = [getattr(told["request_counts"], name, 0) for name in ("completed", "failed")]
        files = [told["output_file_id"], told["error_file_id"]]
        listed = getattr(told["errors"], "data", None)
        reasons = [str(getattr(one, "message", one)) for one in listed] if isinstance(listed, list) else []
        return State(
            excerpt(told["status"], self.secret, 40),
            sum(one for one in counts if isinstance(one, int)),
            [one for one in files if isinstance(one, str) and one],
            isinstance(files[0], str) and bool(files[0]),
            excerpt("; ".join(reasons) or "it gave no reason", self.secret),
        )

    def cancel(self, batch: str) -> None:
        """End a batch early; one that has ended already stays as it is."""
        with contextlib.suppress(openai.APIStatusError):
            self._client.batches.cancel(batch)

    def delete(self, file: str) -> None:
        """Delete a file."""
        self._client.files.delete(file)

    def download(self, file: str, most: int, to: IO[bytes]) -> None:
        """Write a result file, at most so many bytes of it: what is beyond counts as lost."""
        to.seek(0)
        to.truncate()
        streamed = self._client.files.with_streaming_response
        with contextlib.suppress(TooLargeError), at_most(most, DOWNLOAD), streamed.content(file) as reply:
            for piece in reply.iter_bytes():
                to.write(piece)
        to.seek(0)

    def _sane(self, ask: Callable[[], Any]) -> Any:
        """What the client makes of a reply. Raises OpenAIError for one without an id, as of a page in place of JSON."""
        try:
            found = ask()
        except json.JSONDecodeError as error:
            found = error.doc
        except NONSENSE as error:
            found = trouble(error, self.secret)
        identifier = getattr(found, "id", None)
        if not isinstance(identifier, str):
            raise openai.OpenAIError(f"not the OpenAI protocol: {excerpt(str(found), self.secret, 60)!r}")
        if without(identifier, self.secret) != identifier:
            raise openai.OpenAIError("an id of the server's holds the key")
        return found


def line_of(custom_id: str, path: str, body: dict[str, Any], attempt: int) -> bytes:
    """A line of a request file; a further attempt asks with another seed."""
    body = {**body, "seed": body["seed"] + attempt} if "seed" in body else body
    return orjson.dumps({"custom_id": custom_id, "method": "POST", "url": f"/v1{path}", "body": body})


class Result(NamedTuple):
    """What became of a request: a reply, or a refusal that another try would meet, too; neither where it was lost."""

    custom_id: str
    body: str | None = None
    refusal: str | None = None


def results(lines: IO[bytes], most: int, secret: Secret = None) -> Iterator[Result]:
    """The lines of a result file that can be read; of one of more than `most` bytes, that it is too long."""
    while line := lines.readline(most + 1):
        if len(line) > most and not line.endswith(b"\n"):
            name = _name_at_the_beginning(line)
            while line and not line.endswith(b"\n"):
                line = lines.readline(most)
            if name:
                too_long = f"the reply is larger than the {most:,} bytes that what was asked for can take"
                yield Result(name, refusal=too_long)
            continue
        try:
            row = orjson.loads(line)
            name, reply = row["custom_id"], row.get("response") or {}
            status, body = reply.get("status_code"), reply.get("body")
            text = without(orjson.dumps(body).decode(), secret) if isinstance(body, dict) else None
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # counts as lost, and is sent again
        if not isinstance(name, str):
            continue
        status = status if isinstance(status, int) else 0
        if status == 200 and text is not None:
            yield Result(name, text)
        elif 400 <= status < 500 and status not in BUSY:
            yield Result(name, refusal=excerpt(f"status {status}: {_reason(row, text)}", secret))
        else:
            yield Result(name)


def _name_at_the_beginning(line: bytes) -> str | None:
    before, _, after = line[:4096].partition(b'"custom_id"')
    name = after.partition(b'"')[2].partition(b'"')[0].decode(errors="replace")
    return name if before and after else None


def _reason(row: dict[str, Any], text: str | None) -> str:
    error = row.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return message if isinstance(message, str) and message else text or "no reason"


def has_news(under_way: UnderWayError) -> bool:
    """Whether asking again may bring something. Raises JudgeError where the server cannot be asked."""
    now = time.time()
    if not under_way.batches or any(now - begun > LONGEST for begun in under_way.batches.values()):
        return True
    with Server(under_way.endpoint) as server:
        try:
            return any(server.retrieve(one).status in ENDED for one in under_way.batches)
        except openai.NotFoundError:
            return True
        except openai.OpenAIError as error:
            raise JudgeError(told(under_way.endpoint, error)) from None


def told(endpoint: Endpoint, error: openai.OpenAIError) -> str:
    """What a server says that fails while batches are at it."""
    return (
        f"{endpoint.base_url} failed while batches were under way ({trouble(error, endpoint.secret)}); "
        "what was sent is noted, so build again to go on with it. A server without /files and /batches needs "
        "transport: live"
    )
