"""Whether a server has the Batch API: a batch of one tiny request is made, looked at, cancelled and cleared away."""

import contextlib
import tempfile
import uuid
from pathlib import Path

import openai

from pairwright.models.serving.batch_server import Server, line_of
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.finding import Finding
from pairwright.models.serving.probe import HELLO
from pairwright.models.serving.redact import without
from pairwright.models.serving.wire import trouble

RETRIES = 1


def probe_batch(endpoint: Endpoint, path: str = "/chat/completions") -> Finding:
    """Upload a file, make a batch of it, ask for its state; then cancel the one and delete the other.

    Costs nothing where the cancellation comes in time, else one call of one token.
    """
    said = {"messages": [{"role": "user", "content": HELLO}]} if path.startswith("/chat") else {"prompt": HELLO}
    with Server(endpoint, RETRIES) as server, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "probe.jsonl"
        file.write_bytes(line_of("probe", path, {"model": endpoint.model, "max_tokens": 1, **said}, 0) + b"\n")
        try:
            return _try(server, file, path)
        except openai.APIStatusError as error:
            gone = error.status_code in {404, 405, 501}
            said_no = without(f"status {error.status_code} from {error.request.url.path}", endpoint.secret)
            fix = "set transport: live" if gone else "see to the key, or set transport: live"
            return Finding("batch", "no" if error.status_code < 500 or gone else "unknown", f"{said_no}; {fix}")
        except (openai.OpenAIError, ValueError, AttributeError) as error:
            return Finding("batch", "unknown", trouble(error, endpoint.secret))


def _try(server: Server, file: Path, path: str) -> Finding:
    left, batch = [server.upload(file)], None
    try:
        batch = server.make(left[0], path, uuid.uuid4().hex)
        server.retrieve(batch)
        return Finding("batch", "yes", "a batch of one was made and found; it is cancelled, and its file deleted")
    finally:
        if batch is not None:
            server.cancel(batch)
            left += server.retrieve(batch).files
        for one in left:
            with contextlib.suppress(openai.APIStatusError):
                server.delete(one)
