"""Who goes over the shards of a stage: one after the other in this process, or several at once elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

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


class Serial:
    """One shard after the other, in this process."""

    def each(
        self, stage: Spreadable, workspace: Workspace, shards: Sequence[Part], here: Callable[[Part], _Made]
    ) -> Iterator[_Made]:
        """In the order of the shards."""
        return map(here, shards)


SERIAL = Serial()
