"""Who goes over the shards of a stage: one after the other in this process, or several at once elsewhere.

What is made of all shards in one go has steps that can be spread, too: calls of a function, whose results are files.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeVar

from pairwright.assets.stages.basis import Basis
from pairwright.assets.storage.store import Shard, Workspace

Part = Shard | None
"""What a stage is brought up by: a shard, or the whole data set, of a fit."""
_Made = TypeVar("_Made")


class Spreadable(Protocol):
    """What a runner asks of a stage."""

    @property
    def basis(self) -> Basis:
        """Its name and its inputs: whoever rebuilds the flow from the recipe finds it by its name."""

    @property
    def spreads(self) -> bool:
        """Whether its shards may be made in other processes: work of the processor that loads no model."""

    def is_due(self, workspace: Workspace, shard: Part) -> bool:
        """Whether there may be something to do for a shard."""


class Runner(Protocol):
    """Brings the shards of a stage up to date."""

    def each(
        self, stage: Spreadable, workspace: Workspace, shards: Sequence[Part], here: Callable[[Part], _Made]
    ) -> Iterator[_Made]:
        """What came of each shard, in any order. `here` makes one in this process. Raises what one of them raised."""

    def calls(self, what: str, function: Callable[..., _Made], arguments: Iterable[tuple[Any, ...]]) -> Iterator[_Made]:
        """What a module's function gives for each of some arguments, in their order; `what` it is, for messages.

        Raises what the first of them that fails raises, or the arguments themselves, once all before it were given.
        """

    def for_bytes(self, size: int) -> "Runner":
        """Itself, or SERIAL where calls that read so much in all are too little to be spread."""


class Serial:
    """One shard after the other, in this process."""

    def each(
        self, stage: Spreadable, workspace: Workspace, shards: Sequence[Part], here: Callable[[Part], _Made]
    ) -> Iterator[_Made]:
        """In the order of the shards."""
        return map(here, shards)

    def calls(self, what: str, function: Callable[..., _Made], arguments: Iterable[tuple[Any, ...]]) -> Iterator[_Made]:
        """One after the other."""
        return (function(*one) for one in arguments)

    def for_bytes(self, size: int) -> Runner:
        """Itself."""
        return self


SERIAL = Serial()
