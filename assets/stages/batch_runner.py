"""Shards whose calls go in batches: those of all shards are sent at once, and each is finished as its own end."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pairwright.assets.stages.runner import Part, Serial, Spreadable
from pairwright.assets.storage.store import Workspace
from pairwright.models.serving.reply_store import Budget
from pairwright.models.serving.under_way import Rounds, UnderWayError, without_waiting
from pairwright.schemas.errors import BudgetError

_Made = TypeVar("_Made")


class InBatches(Serial):
    """Goes over the shards again and again; one is looked at anew when a batch of its own has ended.

    A shard that is left with batches under way is as one that a kill has left: what came is in its journals, and what
    was sent is noted, so that it is sent once.
    """

    def __init__(self, budget: Budget, poll: float) -> None:
        self._budget, self._poll = budget, poll

    def each(
        self, stage: Spreadable, workspace: Workspace, shards: Sequence[Part], here: Callable[[Part], _Made]
    ) -> Iterator[_Made]:
        """What came of each shard, as they are finished. A spent budget is told when all that was sent has come."""
        rounds, spent_up = Rounds(), None
        left: dict[Part, UnderWayError | None] = dict.fromkeys(shards)
        while left:
            for shard, before in list(left.items()):
                if before is not None and not _has_news(before):
                    continue
                try:
                    with without_waiting(rounds):
                        made = here(shard)
                except UnderWayError as under_way:
                    left[shard] = under_way
                    continue
                except BudgetError as error:
                    spent_up = error
                    del left[shard]
                    continue
                del left[shard]
                yield made
            if left:
                self._budget.pause(self._poll)
        if spent_up is not None:
            raise spent_up


def _has_news(under_way: UnderWayError) -> bool:
    from pairwright.models.serving.batch_server import has_news

    return has_news(under_way)
