"""The reply store of whoever pays for calls: replies are kept before anyone reads them, and spending is counted."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from pairwright.models.serving.finding import Finding
from pairwright.schemas.errors import BudgetError


class Kept(NamedTuple):
    """A reply as it came over the wire."""

    key: str
    """Names the request: what asks, about which contents, in which order."""
    prompt_id: str
    attempt: int
    body: str
    prompt_tokens: int
    completion_tokens: int
    cost_usd: float
    seconds: float
    reasoning_tokens: int | None = None
    """Of the completion's; None where the server tells of none."""


class Spent(NamedTuple):
    """What calls came to."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0


class Budget:
    """What a data set may cost, over all its builds. A call reserves its most first, so that no cap is passed."""

    def __init__(
        self,
        usd: float | None = None,
        calls: int | None = None,
        tokens: int | None = None,
        spent: Spent = Spent(),  # noqa: B008 - immutable
    ) -> None:
        self.caps = {"usd": usd, "calls": calls, "tokens": tokens}
        self.spent = spent
        self._reserved = Spent()
        self._held: dict[str, Spent] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()

    def reserve(self, most: Spent) -> bool:
        """Set aside what a call may take; False when that has to wait until calls in flight tell what they took.

        Raises BudgetError when the call could pass a cap all the same, and StoppedError after `stop`.
        """
        self.go_on()
        with self._lock:
            for name, cap in self.caps.items():
                if cap is not None and getattr(self.spent, name) + getattr(most, name) > cap:
                    raise BudgetError(
                        f"budget.{name} is {cap:g} and {getattr(self.spent, name):g} of it is spent; the next call "
                        f"could pass it. Everything paid for is kept; raise the budget and build again to go on"
                    )
            wanted = _plus(_plus(self.spent, self._reserved), most)
            if any(cap is not None and getattr(wanted, name) > cap for name, cap in self.caps.items()):
                return False
            self._reserved = _plus(self._reserved, most)
            return True

    def settle(self, reserved: Spent, real: Spent) -> None:
        """Replace a reservation by what the call really took."""
        with self._lock:
            self._reserved = _plus(self._reserved, Spent(-reserved.calls, -reserved.tokens, -reserved.usd))
            self.spent = _plus(self.spent, real)

    def hold(self, batch: str, most: Spent) -> None:
        """Set aside what a batch may take that is under way, until it is released; whatever the caps say: it is sent.

        A batch is set aside once, under the name of its own that it has.
        """
        with self._lock:
            if batch not in self._held:
                self._held[batch] = most
                self._reserved = _plus(self._reserved, most)

    def release(self, batch: str) -> None:
        """What became of a batch is known, and settled."""
        with self._lock:
            most = self._held.pop(batch, Spent())
            self._reserved = _plus(self._reserved, Spent(-most.calls, -most.tokens, -most.usd))

    def stop(self) -> None:
        """End the work of all who spend from it: no call is begun any more, and no batch waited for."""
        self._stop.set()

    def go_on(self) -> None:
        """Raises StoppedError after `stop`."""
        if self._stop.is_set():
            raise StoppedError("the run has ended")

    def pause(self, seconds: float) -> None:
        """Sleep, but not beyond `stop`, after which StoppedError is raised."""
        self._stop.wait(seconds)
        self.go_on()


class StoppedError(Exception):
    """The run that paid work belongs to has ended; what was finished is kept."""


class Share(Budget):
    """A part of a budget that counts what it spends apart; all caps are those of the whole."""

    def __init__(self, whole: Budget) -> None:
        super().__init__()
        self._whole = whole

    def reserve(self, most: Spent) -> bool:
        """Of the whole."""
        return self._whole.reserve(most)

    def settle(self, reserved: Spent, real: Spent) -> None:
        """Of the whole; what was real counts here, too."""
        self._whole.settle(reserved, real)
        with self._lock:
            self.spent = _plus(self.spent, real)

    def hold(self, batch: str, most: Spent) -> None:
        """Of the whole."""
        self._whole.hold(batch, most)

    def release(self, batch: str) -> None:
        """Of the whole."""
        self._whole.release(batch)

    def go_on(self) -> None:
        """Raises StoppedError where the whole was stopped."""
        self._whole.go_on()

    def pause(self, seconds: float) -> None:
        """Sleep, until the whole is stopped."""
        self._whole.pause(seconds)


def _plus(a: Spent, b: Spent) -> Spent:
    return Spent(a.calls + b.calls, a.tokens + b.tokens, a.usd + b.usd)


class ReplyStore:
    """Keeps every reply, through `write`, before it is read, and knows those of earlier builds."""

    def __init__(
        self,
        budget: Budget | None = None,
        known: Iterable[tuple[Kept, bool]] = (),
        write: Callable[[Kept], None] = lambda reply: None,
        folder: Path | None = None,
        tell: Callable[[str, int, int], None] = lambda stage, done, total: None,
        findings: Path | None = None,
        proven: Callable[[], bool] = lambda: False,
    ) -> None:
        """`known` pairs each earlier reply with whether it belongs to this build, or one that was killed in it.

        Batches under way are noted in `folder`, and `tell` hears how far they are. What servers were found to be able
        to do is in the file `findings`. `proven` tells whether the asker ever had an answer of use.
        """
        self.budget = budget or Budget()
        self.keep = write
        self.folder, self.tell, self.findings, self.proven = folder, tell, findings, proven
        self.seen: dict[str, Finding] = {}
        """What was found out about the server meanwhile, by feature."""
        self._known: dict[str, list[tuple[Kept, bool]]] = {}
        for reply, current in known:
            self._known.setdefault(reply.key, []).append((reply, current))

    def known(self, key: str) -> list[tuple[Kept, bool]]:
        """Earlier replies to that request, oldest first; handed out once, so that memory is freed as work goes on."""
        return sorted(self._known.pop(key, []), key=lambda one: one[0].attempt)
