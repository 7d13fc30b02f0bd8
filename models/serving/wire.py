"""One request over the wire: what went wrong is sorted into what to do about it."""

import email.utils
import time
from typing import Any, NamedTuple

import httpx2
import openai
import orjson

from pairwright.models.serving.bounded import AsyncTransport, TooLargeError, Transport, at_most, most_bytes
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.redact import Secret, excerpt, without

BUSY = {408, 409, 425, 429, 503, 529}
"""Statuses of a server that wants less, or the same later."""
REFUSED = {401, 403, 404, 405}
"""Statuses that every further call would get, too."""
CONNECT = 10.0
"""Seconds to wait for a connection."""
LONGEST_WAIT = 300.0
"""Longest Retry-After that is honoured in full."""
PLAIN: dict[str, Any] = {"trust_env": False, "follow_redirects": False}
"""Nothing is taken from the environment, and no key goes where a server points."""


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
    status: int | None = None
    """Of an answer that is an error."""


def open_client(endpoint: Endpoint) -> openai.AsyncOpenAI:
    """A client without retries of its own, and without anything taken from the environment but the named key."""
    limits = httpx2.Limits(max_connections=endpoint.concurrency, max_keepalive_connections=endpoint.concurrency)
    transport = AsyncTransport(endpoint.deadline, limits=limits, **_security(endpoint))
    timeout = _timeout(endpoint)
    http = httpx2.AsyncClient(headers=endpoint.headers, transport=transport, timeout=timeout, **PLAIN)
    client = openai.AsyncOpenAI(
        api_key=endpoint.key or "none",
        base_url=endpoint.base_url,
        max_retries=0,
        timeout=timeout,
        http_client=http,
    )
    return sealed(client)


def open_blocking_client(endpoint: Endpoint, retries: int) -> openai.OpenAI:
    """The same for threads, with the client's own retries. A whole reply may take as long as the deadline."""
    transport = Transport(endpoint.deadline, **_security(endpoint))
    timeout = _timeout(endpoint)
    http = httpx2.Client(headers=endpoint.headers, transport=transport, timeout=timeout, **PLAIN)
    client = openai.OpenAI(
        api_key=endpoint.key or "none",
        base_url=endpoint.base_url,
        max_retries=retries,
        timeout=timeout,
        http_client=http,
    )
    return sealed(client)


def _timeout(endpoint: Endpoint) -> httpx2.Timeout:
    return httpx2.Timeout(endpoint.deadline, connect=min(CONNECT, endpoint.deadline))


def _security(endpoint: Endpoint) -> dict[str, Any]:
    """Plain http goes without certificates: to read them would take a third of a second."""
    return {"verify": endpoint.base_url.startswith("https"), "trust_env": False}


def sealed(client: Any) -> Any:
    """The client without the organisation, project, admin's key and headers that it took from the environment."""
    client.organization = client.project = client.admin_api_key = None
    client._custom_headers = {}
    return client


async def request(client: openai.AsyncOpenAI, path: str, body: dict[str, Any], secret: Secret) -> Wire:
    """Post a body and sort what comes back. Raises nothing that a server can cause.

    The caller sets the deadline of the whole request; the client's own only bounds the wait for the next byte.
    """
    try:
        with at_most(most_bytes(body)):
            reply = await client.post(path, cast_to=httpx2.Response, body=body)
        stated = (reply.headers.get("x-ratelimit-limit-requests"), reply.headers.get("x-ratelimit-limit-tokens"))
        return Wire(body=without(reply.content.decode(errors="replace"), secret), limits=stated)
    except openai.APITimeoutError as error:
        unreachable = isinstance(error.__cause__, httpx2.ConnectTimeout)
        return Wire(problem="no answer within the deadline", kind="down" if unreachable else "silent")
    except openai.APIConnectionError as error:
        down = isinstance(error.__cause__, httpx2.ConnectError)
        return Wire(problem=trouble(error, secret), kind="down" if down else "broken")
    except openai.APIStatusError as error:
        return _status(error, secret)
    except TooLargeError as error:
        return Wire(problem=str(error), kind="unfit", heard=True)
    except (openai.OpenAIError, httpx2.HTTPError, UnicodeError, ValueError) as error:
        return Wire(problem=trouble(error, secret), kind="broken")


def _status(error: openai.APIStatusError, secret: Secret) -> Wire:
    code = error.status_code
    found = Wire(problem=trouble(error, secret), heard=True, status=code)
    if code in BUSY:
        return found._replace(kind="busy", wait=retry_after(error.response.headers))
    if code >= 500:
        return found._replace(kind="broken", wait=retry_after(error.response.headers))
    return found._replace(kind="refused" if code in REFUSED else "unfit")


def trouble(error: Exception, secret: Secret) -> str:
    """What went wrong with a request, on one line: the server's own reason where it gave one."""
    if isinstance(error, openai.APIStatusError):
        return excerpt(f"status {error.status_code}: {_message(error)}", secret)
    if isinstance(error, TooLargeError):
        return str(error)
    cause = error.__cause__ if isinstance(error, openai.APIConnectionError) else None
    return excerpt(f"{type(cause or error).__name__}: {cause or error}", secret)


def _message(error: openai.APIStatusError) -> str:
    text = error.response.content.decode(errors="replace")
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    for key in ("error", "message"):
        found = found.get(key, found) if isinstance(found, dict) else found
    return found if isinstance(found, str) else text


def hint(endpoint: Endpoint, wire: Wire) -> str:
    """What to look at after a refusal, put behind its text: the key, the model's name or the URL; else nothing."""
    if wire.status in {401, 403}:
        if endpoint.api_key_env is None:
            return "; name the variable that holds the key in api_key_env, if it needs one"
        return f"; check the key in {endpoint.api_key_env}, and whether it may use the model"
    if wire.status not in REFUSED:
        return ""
    if endpoint.model in (wire.problem or ""):
        return f"; check the model's name: {endpoint.base_url}/models lists what the server has"
    return "; mend base_url, which often ends in /v1, or the model's name"


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
