"""Batches that are not waited for: what is asked for is sent, and asked for again when some have ended."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Self

from pairwright.models.serving.endpoint import Endpoint


class UnderWayError(Exception):
    """All that can be sent is; what is asked for comes with batches that have not ended. Nothing is lost: ask again."""

    def __init__(self, endpoint: Endpoint, batches: dict[str, float]) -> None:
        """`batches`: Unix times at which they began, by their ids; none where the budget has no room for a first."""
        super().__init__(f"{len(batches)} batches at {endpoint.base_url} are under way")
        self.endpoint, self.batches = endpoint, batches

    def with_those_of(self, other: Self | None) -> Self:
        """Both."""
        return type(self)(self.endpoint, self.batches | (other.batches if other else {}))


class Rounds:
    """What is asked again and again, until all batches have ended, has to know of the times before."""

    def __init__(self) -> None:
        self.lost = Counter[str]()
        """Batches that ended without a reply, by request."""
        self.given_up: dict[str, str] = {}
        """Why requests were given up."""


_around: ContextVar[Rounds | None] = ContextVar("rounds", default=None)


@contextlib.contextmanager
def without_waiting(rounds: Rounds) -> Iterator[None]:
    """Within the block no batch is waited for: what is under way at the end of the calls raises UnderWayError."""
    token = _around.set(rounds)
    try:
        yield
    finally:
        _around.reset(token)


def rounds_around() -> Rounds | None:
    """Those of the block around; None where batches are waited for."""
    return _around.get()
