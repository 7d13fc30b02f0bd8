"""What stands before the web server: only its own pages, and programs of this machine, may ask it for anything.

Dagster's server has no login and executes whatever reaches it: a page of any site that is open in the user's browser
can send it a form, an image's address or a websocket, or have its own name point at this machine (DNS rebinding). A
browser says where a request comes from, in headers that a page cannot forge; a program that sends none is let through.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

NAMES = ("127.0.0.1", "localhost", "[::1]")
"""What this machine is called in a Host header."""
HTTP_PORT = 80
"""The port that browsers leave out."""
POLICY_VIOLATION = 1008
"""Code of a websocket that is closed for what it asks."""


class Guard:
    """An ASGI app before another: answers 403 with the reason, or hands the request on.

    Refused are a Host that is not this machine with `port`, an Origin other than that Host, requests that the browser
    says come from another site, GraphQL by other methods than POST, and bodies that are not JSON.
    """

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}" for name in NAMES} | (set(NAMES) if port == HTTP_PORT else set())

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Serve one request or websocket."""
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
        elif (reason := self.refusal(scope)) is None:
            await self.app(scope, receive, _unframed(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": reason})
        else:
            text = f"refused: {reason}\n".encode()
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": text})

    def refusal(self, scope: Any) -> str | None:
        """Why a request is refused; None for one that is let through."""
        headers = _Headers(scope)
        hosts = headers.all("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            return f"the Host header must be one of {', '.join(sorted(self.hosts))}"
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in headers.all("origin")):
            return "a page of another origin may not ask this server for anything"
        graphql = scope["path"].strip().strip("/") == "graphql"  # as generously as any router may read it
        foreign = any(site not in {"same-origin", "none"} for site in headers.all("sec-fetch-site"))
        if foreign and (graphql or not _is_link(scope, headers)):
            return "a page of another site may only link to this server's pages"
        if scope["type"] == "websocket" or scope["method"] == "OPTIONS":
            return None
        if scope["method"] in {"GET", "HEAD"}:
            page = "text/html" in headers.first("accept")  # for which the server shows an editor and executes nothing
            return "GraphQL is asked by POST" if graphql and not page else None
        kinds = [kind.partition(";")[0].strip().lower() for kind in headers.all("content-type")]
        return None if kinds == ["application/json"] else "a body must be JSON, with Content-Type: application/json"


class _Headers:
    """The headers of a request by name."""

    def __init__(self, scope: Any) -> None:
        self._pairs = [(name.lower(), value) for name, value in scope["headers"]]

    def all(self, name: str) -> list[str]:
        """Every value of a header that was sent."""
        return [value.decode("latin-1") for key, value in self._pairs if key == name.encode()]

    def first(self, name: str) -> str:
        """The value that the server goes by; empty where there is none."""
        return next(iter(self.all(name)), "")


def _is_link(scope: Any, headers: _Headers) -> bool:
    """Whether a whole tab goes to the page, so that nothing of another site is around it."""
    fetched = (headers.first("sec-fetch-mode"), headers.first("sec-fetch-dest"))
    return scope["type"] == "http" and scope["method"] == "GET" and fetched == ("navigate", "document")


def _unframed(send: Send) -> Send:
    """Forbid pages of other sites to show this server's in a frame, where a click could be led astray."""

    async def with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), (b"x-frame-options", b"SAMEORIGIN")]
        await send(message)

    return with_header
