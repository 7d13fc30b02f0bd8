"""A call on its way through batches to an answer."""

from pairwright.models.serving.call import TRIES, Answer, Call
from pairwright.models.serving.reply import UnusableError
from pairwright.models.serving.reply_store import Kept, Spent


class Item:
    """A call on its way to an answer."""

    def __init__(self, call: Call, known: list[tuple[Kept, bool]]) -> None:
        self.call = call
        self.tried = self.attempt = self.lost = self.calls = 0
        self.cost = 0.0
        self.raw: str | None = None
        self.failure = "no reply"
        self.answer: Answer | None = None
        for kept, current in known:
            self.take(kept, current)

    @property
    def custom_id(self) -> str:
        """Names the next request for the call."""
        return f"{self.call.key}-{self.attempt}"

    def take(self, kept: Kept, counts: bool) -> None:
        """Read a reply; one that cannot be read uses up a try, if it counts."""
        self.attempt, self.raw, self.cost = kept.attempt + 1, kept.body, self.cost + kept.cost_usd
        self.tried += counts
        if self.answer is not None:
            return
        try:
            value = self.call.value_in(kept.body)
            self.answer = Answer(self.call, value, None, self.raw, self.cost, self.calls)
        except UnusableError as problem:
            self.failure = str(problem)
            if self.tried >= TRIES:
                self.give_up(self.failure)

    def lose(self, why: str) -> None:
        """Note that a batch ended without a reply."""
        self.lost += 1
        self.failure = why
        if self.lost >= TRIES:
            self.give_up(f"no reply in {self.lost} batches: {why}")

    def give_up(self, why: str) -> None:
        """Make it a failure."""
        self.failure = why
        self.answer = Answer(self.call, None, why, self.raw, self.cost, self.calls)


def most_of(items: list[Item]) -> Spent:
    """What so many calls may take."""
    calls = [one.call.most for one in items]
    return Spent(sum(one.calls for one in calls), sum(one.tokens for one in calls), sum(one.usd for one in calls))
