"""A live call's life: known replies first, then requests within all limits, each reply kept before it is read."""

import asyncio
import contextlib
import time
from typing import Any

import openai

from pairwright.models.serving.answers import text_in
from pairwright.models.serving.call import TRIES, Answer, Call, kept_of
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.patience import FirstReplies, Patience
from pairwright.models.serving.probe import small
from pairwright.models.serving.rate_limit import Gate, PerMinute, backoff
from pairwright.models.serving.reply import UnusableError
from pairwright.models.serving.reply_store import Kept, ReplyStore, Spent
from pairwright.models.serving.wire import Wire, request
from pairwright.schemas.errors import BudgetError

TROUBLES = 8
"""Lost requests (no whole reply) that one call may have."""
LONGEST = 900.0
"""Seconds that one call may take with all its waits."""
ASK_AGAIN, SMALL = 10.0, 30.0
"""Seconds between two small questions to a server in doubt, and the longest wait for the answer to one."""


class LiveCalls:
    """Answers calls, as many at once as its caller starts, over one endpoint."""

    def __init__(self, endpoint: Endpoint, replies: ReplyStore) -> None:
        self.endpoint, self.replies = endpoint, replies
        self.secret = endpoint.secret
        self.patience = Patience(endpoint)
        self.first = FirstReplies(endpoint, replies)
        self.waits: tuple[str, float, float] | None = None
        """What the server is waited for with, for how many seconds so far, and at most."""
        self._asked, self._well = -ASK_AGAIN, True
        self.gate = Gate(endpoint.concurrency)
        self.requests = PerMinute(endpoint.rpm) if endpoint.rpm else None
        self.tokens = PerMinute(endpoint.tpm) if endpoint.tpm else None

    def start(self, client: openai.AsyncOpenAI) -> None:
        """Use this client, within the running event loop. Setting `halt` ends all waits and begins no request."""
        self.client = client
        self.halt = asyncio.Event()
        self._asking = asyncio.Lock()

    async def answer(self, call: Call) -> Answer:
        """From what is known, else from the server, until a reply can be read or the tries are used up."""
        tried, attempt, cost, calls = 0, 0, 0.0, 0
        raw: str | None = None
        failure = "no reply"
        for kept, current in self.replies.known(call.key):
            attempt, raw, cost = kept.attempt + 1, kept.body, cost + kept.cost_usd
            tried += current
            try:
                value = call.value_in(kept.body)
            except UnusableError as problem:
                failure = str(problem)
            else:
                self.first.used()
                return Answer(call, value, None, raw, cost, calls)
        while tried < TRIES:
            reply = await self._fetch(call, attempt)
            if isinstance(reply, str):
                return Answer(call, None, reply, raw, cost, calls)
            tried, attempt, calls = tried + 1, attempt + 1, calls + 1
            raw, cost = reply.body, cost + reply.cost_usd
            try:
                value = call.value_in(reply.body)
            except UnusableError as problem:
                failure = str(problem)
                self._of_no_use(call, failure, text_in(raw))
            else:
                self.first.used()
                return Answer(call, value, None, raw, cost, calls)
        return Answer(call, None, failure, raw, cost, calls)

    def _of_no_use(self, call: Call, why: str, raw: str | None) -> None:
        self.first.unusable(call, why, raw)
        self.first.check()

    async def _fetch(self, call: Call, attempt: int) -> Kept | str:
        """A whole reply, kept; or why there is none."""
        begun, troubles, last = time.monotonic(), 0, False
        body = {**call.body, "seed": call.body["seed"] + attempt} if "seed" in call.body else call.body
        while True:
            started, wire = await self._request(call, body, attempt)
            if isinstance(wire, Kept):
                self.waits = None
                return wire
            self.patience.lost(wire)
            if wire.kind == "unfit":
                await self._is_well(call, wire)
                return wire.problem or "refused"
            if wire.kind in {"busy", "silent"}:
                self.gate.pushed_back(started)
            troubles += wire.wait is None
            spent = troubles > TROUBLES or time.monotonic() - begun > LONGEST
            well = await self._is_well(call, wire, started if spent else None)
            if spent and well and last:
                failure = f"gave up after {troubles} lost requests: {wire.problem}"
                self._of_no_use(call, failure, None)
                return failure
            last = spent and well  # it may have come back only just now
            if not well:
                begun, troubles = time.monotonic(), 0
            wait = backoff(min(troubles, TROUBLES))
            await self._pause(wait if wire.wait is None else wire.wait + wait / 10)

    async def _is_well(self, call: Call, wire: Wire, since: float | None = None) -> bool:
        """Whether the server answers others. Where that is in doubt, a small question finds out.

        With `since`, only a reply that came after it is beyond doubt. Raises JudgeError when the server has not
        answered for too long, nor answers the question.
        """
        async with self._asking:
            self._go_on()
            if since is None and not self.patience.in_doubt(wire):
                return True
            if since is not None and self.patience.last_reply > since:
                return True
            if time.monotonic() - self._asked >= ASK_AGAIN:
                self._well = await self._answers_a_small_question(call, wire)
                self._asked = time.monotonic()
            return self._well

    async def _answers_a_small_question(self, call: Call, wire: Wire) -> bool:
        """The call's options with a few words in place of its texts. What it cannot settle counts as well."""
        try:
            if not self.replies.budget.reserve(call.most):
                return True
        except BudgetError:
            return True
        try:
            found = await self._post(call, small(call.body), SMALL)
        finally:
            self.replies.budget.settle(call.most, Spent())
        if found.body is not None:
            self.patience.replied(found.body)
            self.waits = None
            return True
        if found.kind != "unfit":
            self.patience.lost(found)
        if wire.kind == "unfit" and found.kind != "unfit":
            self.patience.refused = 0
            return True
        if self.patience.in_doubt(wire):
            raise self.patience.end(found)
        unheard = time.monotonic() - self.patience.last_reply
        self.waits = (found.problem or found.kind, unheard, self.patience.bears(wire))
        return False

    async def _request(self, call: Call, body: dict[str, Any], attempt: int) -> tuple[float, Kept | Wire]:
        """One request within the limits of rate, concurrency and budget. A reply is kept before anyone sees it."""
        for bucket, units in ((self.requests, 1), (self.tokens, call.most.tokens)):
            if bucket is not None and (delay := bucket.delay(units)) > 0:
                await self._pause(delay)
        while not self.replies.budget.reserve(call.most):
            await self._pause(0.05)
        real = Spent()
        try:
            started = await self.gate.enter()
            try:
                self._go_on()
                wire = await self._post(call, body)
                if wire.body is None:
                    return started, wire
                self.gate.went_well()
                kept = self._kept(call, attempt, wire.body, time.monotonic() - started)
                self.replies.keep(kept)
                self.patience.replied(wire.body)
                real = Spent(1, kept.prompt_tokens + kept.completion_tokens, kept.cost_usd)
                return started, kept
            finally:
                self.gate.leave()
        finally:
            self.replies.budget.settle(call.most, real)

    async def _post(self, call: Call, body: dict[str, Any], longest: float = LONGEST) -> Wire:
        seconds = min(self.endpoint.deadline, longest)
        try:
            async with asyncio.timeout(seconds):
                wire = await request(self.client, call.path, body, self.secret)
        except TimeoutError:
            return Wire(problem=f"no whole answer within {seconds:g} s", kind="silent")
        if wire.body is not None or wire.heard:
            self.patience.heard()
        return wire

    async def _pause(self, seconds: float) -> None:
        """Sleep, unless the work is to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.halt.wait()
        self._go_on()

    def _go_on(self) -> None:
        if self.halt.is_set():
            raise asyncio.CancelledError

    def _kept(self, call: Call, attempt: int, body: str, seconds: float) -> Kept:
        return kept_of(self.endpoint, call, attempt, body, seconds)
