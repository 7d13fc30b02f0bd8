"""What stages share while they are brought up to date, and what that came to."""

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeVar, cast

from pairwright.assets.stages.runner import SERIAL, Runner
from pairwright.models.serving.reply_store import Budget, Spent

_Kept = TypeVar("_Kept")


class Made(NamedTuple):
    """What bringing something up to date came to; all 0 where it was."""

    files: int = 0
    """Of tables, written anew."""
    rows: int = 0
    """That are new: of a derived table all rows of the files written, of paid work those asked for."""
    calls: int = 0
    """To servers, paid for."""
    cost_usd: float = 0.0
    seconds: float = 0.0
    """That it took."""
    failures: int = 0
    """Rows of the shards' files, new or not, that have a failure in place of a value."""

    def __add__(self, other: "Made") -> "Made":  # type: ignore[override]
        return Made(**{name: getattr(self, name) + getattr(other, name) for name in self._fields})


class Run:
    """What the shards of a stage share: who goes over them, the budget, and what is dear to load."""

    def __init__(self, budget: Budget | None = None, runner: Runner = SERIAL) -> None:
        self.budget, self.runner = budget, runner
        self._kept: dict[Hashable, Any] = {}

    @property
    def spent(self) -> Spent:
        """Under the budget, by all builds so far; nothing where there is none."""
        return self.budget.spent if self.budget else Spent()

    def once(self, key: Hashable, make: Callable[[], _Kept]) -> _Kept:
        """What `make` gave the first time that `key` was asked for, as a loaded model."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast(_Kept, self._kept[key])

    def forget(self) -> None:
        """Let go of what was loaded: the stage that needed it is done."""
        self._kept.clear()
