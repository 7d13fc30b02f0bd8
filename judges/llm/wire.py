"""One request over the wire: what went wrong is sorted into what to do about it."""

import email.utils
import time
from typing import Any, NamedTuple

import httpx2
import openai
import orjson

from pairwright.judges.llm.endpoint import Endpoint

BUSY = {408, 409, 425, 429, 503, 529}
"""Statuses of a server that wants less, or the same later."""
REFUSED = {401, 403, 404, 405}
"""Statuses that every further call would get, too."""
CONNECT = 10.0
"""Seconds to wait for a connection."""
LONGEST_WAIT = 300.0
"""Longest Retry-After that is honoured in full."""


class Wire(NamedTuple):
    """What came back from one request: a body, or why there is none."""

    body: str | None = None
    problem: str | None = None
    kind: str = "answered"
    """answered, busy (wants less), broken (worth another try), silent (let the deadline pass), down (nobody listens),
    refused (stop) or unfit (this request only)."""
    wait: float | None = None
    """Seconds that the server asked to wait."""
    heard: bool = False
    """Whether a server answered at all, if only with an error."""
    limits: tuple[str | None, str | None] = (None, None)
    """Requests and tokens a minute that the server says it allows."""


def open_client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    """A client without retries of its own, and without anything taken from the environment but the named key."""
    limits = httpx2.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency)
    timeout = httpx2.Timeout(endpoint.deadline, connect=min(CONNECT, endpoint.deadline))
    client = openai.AsyncOpenAI(
        api_key=endpoint.secret or "none",
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=httpx2.AsyncClient(
            limits=limits,
            timeout=timeout,
            verify=endpoint.base_url.startswith(
                "https"
            ),  # plain http: reading the certificates would take a third of a second
            trust_env=False,
            follow_redirects=False,
        ),
    )
    client.organization = client.project = None
    return client


async def request(client: openai.AsyncOpenAI, path: str, body: dict[str, Any], secret: str | None) -> Wire:
    """Post a body and sort what comes back. Raises nothing that a server can cause.

    The caller sets the deadline of the whole request; the client's own only bounds the wait for the next byte.
    """
    try:
        reply = await client.post(path, cast_to=httpx2.Response, body=body)
        stated = (reply.headers.get("x-ratelimit-limit-requests"), reply.headers.get("x-ratelimit-limit-tokens"))
        return Wire(body=without(reply.content.decode(errors="replace"), secret), limits=stated)
    except openai.APITimeoutError as error:
        unreachable = isinstance(error.__cause__, httpx2.ConnectTimeout)
        return Wire(problem="no answer within the deadline", kind="down" if unreachable else "silent")
    except openai.APIConnectionError as error:
        cause = error.__cause__
        text = without(f"{type(cause).__name__}: {cause}" if cause else str(error), secret)
        return Wire(problem=text, kind="down" if isinstance(cause, httpx2.ConnectError) else "broken")
    except openai.APIStatusError as error:
        return _status(error, secret)
    except (openai.OpenAIError, httpx2.HTTPError, UnicodeError, ValueError) as error:
        return Wire(problem=without(f"{type(error).__name__}: {error}", secret), kind="broken")


def _status(error: openai.APIStatusError, secret: str | None) -> Wire:
    code = error.status_code
    text = without(f"status {code}: {_message(error)}", secret)
    if code in BUSY:
        return Wire(problem=text, kind="busy", wait=retry_after(error.response.headers), heard=True)
    if code >= 500:
        return Wire(problem=text, kind="broken", wait=retry_after(error.response.headers), heard=True)
    return Wire(problem=text, kind="refused" if code in REFUSED else "unfit", heard=True)


def _message(error: openai.APIStatusError) -> str:
    text = error.response.text[:2000]
    try:
        found = orjson.loads(text)
        found = found.get("error", found) if isinstance(found, dict) else found
        found = found.get("message", found) if isinstance(found, dict) else found
        return str(found)[:500]
    except orjson.JSONDecodeError:
        return text[:500]


def retry_after(headers: Any) -> float | None:
    """Seconds that a Retry-After or retry-after-ms header asks for: a number or a date; None where there is none."""
    try:
        if (milliseconds := headers.get("retry-after-ms")) is not None:
            seconds = float(milliseconds) / 1000
        elif (value := headers.get("retry-after")) is None:
            return None
        elif value.strip().replace(".", "", 1).isdigit():
            seconds = float(value)
        else:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, TypeError):
        return None
    return min(max(seconds, 0.0), LONGEST_WAIT)


def without(text: str, secret: str | None) -> str:
    """The text with the key blotted out, should a server echo it."""
    return text.replace(secret, "[key]") if secret else text
