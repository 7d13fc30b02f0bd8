"""Progress of long work: stages tell how far they are, and whoever runs them chooses how it is shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol


class Step(NamedTuple):
    """How far a stage is."""

    stage: str
    done: int
    total: int | None
    cost_usd: float = 0.0


class Listener(Protocol):
    """Shows progress."""

    def __call__(self, step: Step) -> None:
        """Called often; must be cheap."""


def _ignore(step: Step) -> None:
    """The default: nobody watches."""


_listener: ContextVar[Listener] = ContextVar("progress", default=_ignore)


def tell(stage: str, done: int, total: int | None = None, cost_usd: float = 0.0) -> None:
    """Report that `done` of `total` units of a stage are finished."""
    _listener.get()(Step(stage, done, total, cost_usd))


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send all progress within the block to `listener`."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def overheard(listener: Listener) -> Iterator[None]:
    """Send all progress within the block to `listener`, too, beside whoever listens already."""
    before = _listener.get()

    def both(step: Step) -> None:
        before(step)
        listener(step)

    with listening(both):
        yield
