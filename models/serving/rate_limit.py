"""How fast to call: a concurrency that gives way to a busy server, and limits on requests and tokens a minute."""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable

BACKOFF = 2.0
"""Divides the concurrency when the server pushes back."""


class Gate:
    """At most `limit` calls at once: the limit grows by about one per round of successes and halves on pushback.

    Additive increase, multiplicative decrease, as in TCP. Several pushbacks among calls that were sent before the
    last decrease count once: they tell of the same congestion.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(most)
        self.active = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._decreased = 0.0

    async def enter(self) -> float:
        """Wait for a place; returns when the call started, to be handed to `pushed_back`."""
        while self.active >= int(self.limit):
            place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self._wake()
                raise
        self.active += 1
        return time.monotonic()

    def leave(self) -> None:
        """Give the place back."""
        self.active -= 1
        self._wake()

    def went_well(self) -> None:
        """A call was answered."""
        if self.limit < self.most:
            self.limit = min(self.most, self.limit + 1.0 / self.limit)

    def pushed_back(self, started: float) -> None:
        """The server was too busy for a call that began at `started`."""
        if started >= self._decreased:
            self.limit = max(1.0, self.limit / BACKOFF)
            self._decreased = time.monotonic()

    def _wake(self) -> None:
        free = int(self.limit) - self.active
        while free > 0 and self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                free -= 1


class PerMinute:
    """A token bucket: `rate` units a minute, of which a tenth may come at once."""

    def __init__(self, rate: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_second = rate / 60.0
        self.burst = max(1.0, rate / 10.0)
        self._clock = clock
        self._level = self.burst
        self._seen = clock()

    def delay(self, units: float) -> float:
        """Take `units`; seconds to wait before using them. More than the bucket holds waits for its own refill."""
        now = self._clock()
        self._level = min(self.burst, self._level + (now - self._seen) * self.per_second)
        self._seen = now
        self._level -= units
        return max(0.0, -self._level / self.per_second)


def backoff(tries: int, first: float = 0.5, most: float = 30.0) -> float:
    """Seconds to wait before the next try: exponential, with full jitter, so that clients do not return together."""
    return random.uniform(0.5, 1.0) * min(most, first * 2.0**tries)  # noqa: S311 - spreads load, guards nothing
