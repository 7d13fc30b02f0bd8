"""Replies are read by pieces and no further than a bound, however a server packs them and however long it goes on."""

import contextlib
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import httpx2
import openai

FLOOR = 1 << 20
"""Bytes that any reply may have, errors and lists of models among them."""
TOKEN, ALTERNATIVE = 64, 256
"""Bytes that a token takes in a reply at most: its text, and itself or an alternative to it with a log-probability."""
PIECE = 1 << 16
"""Bytes that are unpacked at a time."""
ENCODINGS = {"", "identity", "gzip", "x-gzip", "deflate"}
"""What a reply may be packed with; only gzip is asked for."""

_bounds: ContextVar[tuple[int, float | None]] = ContextVar("bounds", default=(FLOOR, None))
"""Bytes and seconds of a reply; without the latter, the transport's."""


class TooLargeError(openai.OpenAIError):
    """A reply that went on beyond its bound; a kind of error that the client hands on at once."""


def most_bytes(body: dict[str, Any]) -> int:
    """Bytes that the reply to a request may have: what its tokens can take, and FLOOR at least."""
    tokens = (body.get("max_tokens") or body.get("max_completion_tokens") or 0) * (body.get("n") or 1)
    if body.get("echo"):
        tokens += len(body["prompt"])
    shown = 1 + max(int(body.get("top_logprobs") or 0), int(body.get("logprobs") or 0))
    wants = body.get("logprobs") not in {None, False}
    return max(FLOOR, tokens * (TOKEN + (ALTERNATIVE * shown if wants else 0)))


@contextlib.contextmanager
def at_most(count: int, seconds: float | None = None) -> Iterator[None]:
    """Within the block, replies may have so many bytes, and take so many seconds."""
    token = _bounds.set((count, seconds))
    try:
        yield
    finally:
        _bounds.reset(token)


class _Reader:
    """Unpacks what comes and counts it. Raises TooLargeError, and ReadTimeout when all of it takes too long."""

    def __init__(self, packed: str, seconds: float) -> None:
        if packed not in ENCODINGS:
            raise httpx2.DecodingError(f"the reply is packed with {packed[:40]!r}, which was not asked for")
        self.unpack = zlib.decompressobj(zlib.MAX_WBITS | 32) if packed not in {"", "identity"} else None
        self.most, longer = _bounds.get()
        self.seconds = longer or seconds
        self.count, self.end = 0, time.monotonic() + self.seconds

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if time.monotonic() > self.end:
            raise httpx2.ReadTimeout(f"the reply did not end within {self.seconds:g} s")
        if self.unpack is None:
            yield self._counted(data)
            return
        while True:
            try:
                piece = self.unpack.decompress(data, PIECE)
            except zlib.error as error:
                raise httpx2.DecodingError(f"the reply cannot be unpacked: {error}") from None
            yield self._counted(piece)
            data = self.unpack.unconsumed_tail
            if not data and len(piece) < PIECE:
                return

    def _counted(self, piece: bytes) -> bytes:
        self.count += len(piece)
        if self.count > self.most:
            raise TooLargeError(f"the reply is larger than the {self.most:,} bytes that what was asked for can take")
        return piece


class _Stream(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    def __init__(self, stream: Any, reader: _Reader) -> None:
        self.stream, self.reader = stream, reader

    def __iter__(self) -> Iterator[bytes]:
        for data in self.stream:
            yield from self.reader.pieces(data)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self.stream:
            for piece in self.reader.pieces(data):
                yield piece

    def close(self) -> None:
        self.stream.close()

    async def aclose(self) -> None:
        await self.stream.aclose()


def _bounded(reply: httpx2.Response, seconds: float) -> httpx2.Response:
    reader = _Reader(reply.headers.get("content-encoding", "").strip().lower(), seconds)
    gone = {b"content-encoding", b"content-length"}
    headers = [(name, value) for name, value in reply.headers.raw if name.lower() not in gone]
    return httpx2.Response(
        reply.status_code, headers=headers, stream=_Stream(reply.stream, reader), extensions=reply.extensions
    )


class Transport(httpx2.HTTPTransport):
    """HTTP whose replies are bounded in size, unpacked, and in time."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.seconds = seconds

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        request.headers["accept-encoding"] = "gzip"
        reply = super().handle_request(request)
        try:
            return _bounded(reply, self.seconds)
        except httpx2.DecodingError:
            reply.close()
            raise


class AsyncTransport(httpx2.AsyncHTTPTransport):
    """The same within an event loop."""

    def __init__(self, seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self.seconds = seconds

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request."""
        request.headers["accept-encoding"] = "gzip"
        reply = await super().handle_async_request(request)
        try:
            return _bounded(reply, self.seconds)
        except httpx2.DecodingError:
            await reply.aclose()
            raise
