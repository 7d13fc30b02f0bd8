"""Batches: requests go up as a file and results come down hours later, often at half the price.

What is in a batch is journalled before it is sent, and its id before it is waited for, so that a killed build goes on
with the same batch. Results are taken by custom id; what a batch leaves out is sent again, and nothing else.
"""

import tempfile
import time
from collections.abc import Iterator
from itertools import islice

import openai

from pairwright.models.serving.answers import text_in
from pairwright.models.serving.batch_files import Entry, Journal
from pairwright.models.serving.batch_item import Item, most_of
from pairwright.models.serving.batch_server import ENDED, LONGEST, Result, Server, State, line_of, results, told
from pairwright.models.serving.bounded import FLOOR, most_bytes
from pairwright.models.serving.call import Answer, Call, kept_of
from pairwright.models.serving.endpoint import BATCH_CALLS, Endpoint
from pairwright.models.serving.patience import FirstReplies
from pairwright.models.serving.reply_store import ReplyStore, Spent
from pairwright.models.serving.under_way import UnderWayError, rounds_around
from pairwright.schemas.errors import BudgetError, JudgeError

ENVELOPE = 1 << 14
"""Bytes of a line of results beside what the tokens take."""


def ask_in_batches(endpoint: Endpoint, calls: Iterator[Call], replies: ReplyStore) -> Iterator[list[Answer]]:
    """Answers to all calls, a batch at a time. Raises JudgeError and BudgetError as `ask` does."""
    return _Batches(endpoint, calls, replies).answers()


class _Batches:
    def __init__(self, endpoint: Endpoint, calls: Iterator[Call], replies: ReplyStore) -> None:
        self.endpoint, self.calls, self.replies = endpoint, calls, replies
        self.journal = Journal(replies.folder)
        self.first = FirstReplies(endpoint, replies)
        self.spent_up: BudgetError | None = None
        self.rounds = rounds_around()
        self.under_way: dict[str, float] = {}
        """Batches that are not waited for, as UnderWayError names them."""
        self.parked: set[str] = set()
        """Custom ids that they hold, or that the budget has no room for."""

    def answers(self) -> Iterator[list[Answer]]:
        waiting: list[Item] = []
        with Server(self.endpoint) as server:
            self.server = server
            try:
                while True:
                    fresh = islice(self.calls, max(0, BATCH_CALLS - len(waiting)))
                    waiting += [self._item(call) for call in fresh]
                    if not waiting:
                        break
                    items = self._unanswered(waiting)
                    self._round(items)
                    self._note_use(waiting, items)
                    if done := [one.answer for one in waiting if one.answer is not None]:
                        yield done
                    self._remember(waiting)
                    waiting = [one for one in waiting if one.answer is None and one.custom_id not in self.parked]
                    self.first.check()
                    if self.spent_up is not None:
                        break
            except openai.OpenAIError as error:
                raise JudgeError(told(self.endpoint, error)) from None
        if self.under_way or (self.parked and self.spent_up is None):  # what was paid for comes before a spent budget
            raise UnderWayError(self.endpoint, self.under_way)
        if self.spent_up is not None:
            raise self.spent_up

    def _item(self, call: Call) -> Item:
        """A call, with what became of it before."""
        one = Item(call, self.replies.known(call.key))
        if self.rounds is not None and one.answer is None:
            name = self._name(one)
            one.lost = self.rounds.lost[name]
            if name in self.rounds.given_up:
                one.give_up(self.rounds.given_up[name])
        return one

    def _remember(self, items: list[Item]) -> None:
        """What was lost or given up, for the next time that the same is asked."""
        if self.rounds is None:
            return
        for one in items:
            if one.lost:
                self.rounds.lost[self._name(one)] = one.lost
            if one.answer is not None and one.answer.failure is not None:
                self.rounds.given_up[self._name(one)] = one.answer.failure

    def _name(self, one: Item) -> str:
        return f"{self.journal.folder}/{one.call.key}"

    def _note_use(self, waiting: list[Item], asked: dict[str, Item]) -> None:
        """What was answered or refused, and of what use it was."""
        if any(one.answer is not None and one.answer.failure is None for one in waiting):
            self.first.used()
        for name, one in asked.items():
            if name != one.custom_id or one.answer is not None:
                self.first.unusable(one.call, one.failure, text_in(one.raw) if one.raw else None)

    def _unanswered(self, waiting: list[Item]) -> dict[str, Item]:
        """By custom id. What a killed build had kept already is taken out of its batch's entry."""
        items = {one.custom_id: one for one in waiting if one.answer is None}
        keys = {one.call.key for one in waiting}
        for entry in self.journal.entries():
            kept = {name for name in entry.ids - items.keys() if name.rpartition("-")[0] in keys}
            if kept:
                self.journal.forget(entry, kept)
        return items

    def _round(self, items: dict[str, Item]) -> None:
        """Send what is in no batch yet, then wait for every batch that holds one of the items."""
        open_ones = [entry for entry in self.journal.entries() if entry.ids & items.keys()]
        open_ones = [entry for one in open_ones if (entry := self._with_id(one)) is not None]
        for entry in open_ones:
            self.replies.budget.hold(entry.token, most_of([items[name] for name in entry.ids & items.keys()]))
        sent = set().union(*(entry.ids for entry in open_ones)) if open_ones else set()
        reserved = self._reserve([one for name, one in items.items() if name not in sent])
        if reserved:
            open_ones.append(self._send(reserved))
            sent |= open_ones[-1].ids
        for entry in open_ones:
            try:
                batch = self._wait(entry)
                if batch is None:
                    continue
                self._collect(entry, batch, items)
            except openai.NotFoundError:  # servers keep batches and their files for some weeks
                self._gone(entry, items)
            self.replies.budget.release(entry.token)
        if self.rounds is not None:
            self.parked |= items.keys() - sent
        elif not open_ones and items and self.spent_up is None:
            self.replies.budget.pause(0.05)  # others have set aside what is left of the budget

    def _reserve(self, items: list[Item]) -> list[Item]:
        """The first of the items that the budget has room for."""
        found = []
        for one in items:
            try:
                if not self.replies.budget.reserve(one.call.most):
                    break
            except BudgetError as error:
                self.spent_up = error
                break
            found.append(one)
        return found

    def _with_id(self, entry: Entry) -> Entry | None:
        """The entry with its batch's id; None where a killed build never got to make the batch."""
        if entry.batch is not None:
            return entry
        batch = self.server.find(entry.token)
        if batch is None:
            self.journal.forget(entry)
            return None
        return self.journal.write(entry._replace(batch=batch))

    def _send(self, items: list[Item]) -> Entry:
        path = items[0].call.path
        lines = [line_of(one.custom_id, path, one.call.body, one.attempt) for one in items]
        try:
            entry, file = self.journal.open({one.custom_id for one in items}, lines)
            self.replies.budget.hold(entry.token, most_of(items))
        finally:
            for one in items:
                self.replies.budget.settle(one.call.most, Spent())
        return self.journal.write(entry._replace(batch=self.server.create(file, path, entry.token)))

    def _wait(self, entry: Entry) -> State | None:
        """The batch once it has ended, asked for every `poll` seconds; None for one that is not waited for."""
        while True:
            batch = self.server.retrieve(str(entry.batch))
            self.replies.tell(f"batch {entry.batch} ({batch.status})", batch.done, len(entry.ids))
            if batch.status in ENDED:
                return batch
            if time.time() - entry.begun > LONGEST:
                raise JudgeError(
                    f"{self.endpoint.base_url}: batch {entry.batch} is still {batch.status} after "
                    f"{LONGEST / 3600:.0f} h; cancel it at the server and build again to send what it lacks"
                )
            if self.rounds is not None:
                self.under_way[str(entry.batch)] = entry.begun
                self.parked |= entry.ids
                return None
            self.replies.budget.pause(self.endpoint.poll)

    def _collect(self, entry: Entry, batch: State, items: dict[str, Item]) -> None:
        """Keep every reply of an ended batch; its other requests count as lost. Then the batch is forgotten."""
        mine = {name: items[name] for name in entry.ids & items.keys()}
        if batch.status == "failed" and not batch.has_results:
            self.journal.forget(entry)
            raise JudgeError(f"{self.endpoint.base_url} refused batch {entry.batch}: {batch.reasons}")
        for one in self._results(entry, batch, list(mine.values())):
            item = mine.get(one.custom_id)
            if item is None:
                continue
            if one.body is not None:
                del mine[one.custom_id]
                self._keep(item, one.body, time.time() - entry.begun)
            elif one.refusal is not None:
                del mine[one.custom_id]
                item.give_up(one.refusal)
        for item in mine.values():
            item.lose(f"batch {batch.status}")
        self.journal.forget(entry, set(items))

    def _results(self, entry: Entry, batch: State, asked: list[Item]) -> Iterator[Result]:
        """What is in the files of an ended batch, which go to the disk first: they may be larger than memory."""
        most = max([most_bytes(one.call.body) for one in asked], default=FLOOR) + ENVELOPE
        in_all = most + (len(entry.ids) + 1) * (most if most > FLOOR + ENVELOPE else ENVELOPE * 4)
        with tempfile.TemporaryFile(dir=self.journal.folder) as file:
            for name in batch.files:
                self.server.download(name, in_all, file)
                yield from results(file, most, self.endpoint.secret)

    def _gone(self, entry: Entry, items: dict[str, Item]) -> None:
        """Give up a batch that the server does not know any more, or whose results it has deleted."""
        for name in entry.ids & items.keys():
            if items[name].answer is None and items[name].custom_id == name:
                items[name].lose(f"the server has batch {entry.batch} or its results no more")
        self.journal.forget(entry)

    def _keep(self, one: Item, body: str, seconds: float) -> None:
        kept = kept_of(self.endpoint, one.call, one.attempt, body, max(seconds, 0.0))
        self.replies.keep(kept)
        self.replies.budget.settle(Spent(), Spent(1, kept.prompt_tokens + kept.completion_tokens, kept.cost_usd))
        one.calls += 1
        one.take(kept, counts=True)
