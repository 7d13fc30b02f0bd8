"""Asking: many calls in flight at once, refilled as each ends; every reply is kept before it is read.

The event loop runs in a thread of its own, so that verdicts are written while calls go on.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

from pairwright.judges.llm.batch import ask_in_batches
from pairwright.judges.llm.call import TRIES, Answer, Call
from pairwright.judges.llm.desk import Desk, Kept, Spent
from pairwright.judges.llm.endpoint import Endpoint
from pairwright.judges.llm.pace import Gate, PerMinute, backoff
from pairwright.judges.llm.replies import UnusableError, usage_of
from pairwright.judges.llm.wire import Wire, open_client, request
from pairwright.schemas.errors import JudgeError

TROUBLES = 8
"""Lost requests (no whole reply) that one call may have."""
PATIENCE = 900.0
"""Seconds that one call may take with all its waits."""
DOWN_AFTER = 20.0
"""Seconds without any answer and nobody listening, after which a server counts as down."""
SILENT_ROUNDS = 3
"""Deadlines in a row without any answer, after which a server counts as hung."""
GATHER = 0.2
"""Seconds in which answers are gathered before they are handed out."""
UNFIT_AT_FIRST = 8
"""Calls refused as unfit before any was answered: then the recipe is at fault, not the texts."""


def ask(endpoint: Endpoint, calls: Iterable[Call], desk: Desk) -> Iterator[list[Answer]]:
    """Answers to all calls, in lists, as they come in.

    `calls` is drawn from only as places get free. Raises JudgeError when the server is down or refuses everyone, and
    BudgetError when the next call could pass a cap, in both cases after all answers that came in were handed out.
    """
    if endpoint.transport == "batch":
        return ask_in_batches(endpoint, iter(calls), desk)
    return _Asking(endpoint, iter(calls), desk).answers()


class _Asking:
    def __init__(self, endpoint: Endpoint, calls: Iterator[Call], desk: Desk) -> None:
        self.endpoint, self.calls, self.desk = endpoint, calls, desk
        self.secret = endpoint.secret
        self.gate = Gate(endpoint.concurrency)
        self.requests = PerMinute(endpoint.rpm) if endpoint.rpm else None
        self.tokens = PerMinute(endpoint.tpm) if endpoint.tpm else None
        self.done: list[Answer] = []
        self.error: BaseException | None = None
        self.finished = False
        self.changed = threading.Condition()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.main: asyncio.Task[None] | None = None
        self.last_answer = time.monotonic()
        self.answered = 0
        self.unfit = 0

    def answers(self) -> Iterator[list[Answer]]:
        thread = threading.Thread(target=self._run, name="pairwright-calls", daemon=True)
        thread.start()
        try:
            while True:
                with self.changed:
                    while not self.done and not self.finished:
                        self.changed.wait()
                    if not self.finished:  # rows cost less by the dozen, and the replies are already kept
                        self.changed.wait(GATHER)
                    found, self.done = self.done, []
                    finished = self.finished
                if found:
                    yield found
                elif finished:
                    break
        finally:
            self._stop()
            thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # handed to the thread that asked
            self.error = error
        with self.changed:
            self.finished = True
            self.changed.notify()

    def _stop(self) -> None:
        loop, main = self.loop, self.main
        if loop is not None and main is not None and not self.finished:
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                loop.call_soon_threadsafe(main.cancel)

    async def _work(self) -> None:
        self.loop, self.main = asyncio.get_running_loop(), asyncio.current_task()
        self.halt = asyncio.Event()
        async with open_client(self.endpoint) as client:
            self.client = client
            workers = [asyncio.create_task(self._worker()) for _ in range(self.endpoint.concurrency)]
            try:
                await self._watch(workers)
            finally:
                for worker in workers:
                    worker.cancel()
                await asyncio.gather(*workers, return_exceptions=True)

    async def _watch(self, workers: list["asyncio.Task[None]"]) -> None:
        """Wait for all. After an error no call is begun, but those in flight, which are paid for, may end."""
        pending = set(workers)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for worker in done:
                error = None if worker.cancelled() else worker.exception()
                if error is not None and self.error is None:
                    self.error = error
                    self.halt.set()

    async def _worker(self) -> None:
        for call in self.calls:
            answer = await self._answer(call)
            with self.changed:
                self.done.append(answer)
                if len(self.done) == 1:
                    self.changed.notify()
            if self.halt.is_set():
                return

    async def _answer(self, call: Call) -> Answer:
        """From what is known, else from the server, until a reply can be read or the tries are used up."""
        tried, attempt, cost, calls = 0, 0, 0.0, 0
        raw: str | None = None
        failure = "no reply"
        for kept, current in self.desk.known(call.key):
            attempt, raw, cost = kept.attempt + 1, kept.body, cost + kept.cost_usd
            tried += current
            try:
                return Answer(call, call.read(kept.body), None, raw, cost, calls)
            except UnusableError as problem:
                failure = str(problem)
        while tried < TRIES:
            reply = await self._fetch(call, attempt)
            if isinstance(reply, str):
                return Answer(call, None, reply, raw, cost, calls)
            tried, attempt, calls = tried + 1, attempt + 1, calls + 1
            raw, cost = reply.body, cost + reply.cost_usd
            try:
                return Answer(call, call.read(reply.body), None, raw, cost, calls)
            except UnusableError as problem:
                failure = str(problem)
        return Answer(call, None, failure, raw, cost, calls)

    async def _fetch(self, call: Call, attempt: int) -> Kept | str:
        """A whole reply, kept; or why there is none."""
        begun, troubles = time.monotonic(), 0
        body = {**call.body, "seed": call.body["seed"] + attempt} if "seed" in call.body else call.body
        while True:
            started, wire = await self._request(call, body, attempt)
            if isinstance(wire, Kept):
                return wire
            if wire.kind == "unfit":
                self._count_unfit(wire)
                return wire.problem or "refused"
            self._stop_if_hopeless(wire)
            if wire.kind in {"busy", "silent"}:
                self.gate.pushed_back(started)
            troubles += wire.wait is None
            if troubles > TROUBLES or time.monotonic() - begun > PATIENCE:
                return f"gave up after {troubles} lost requests: {wire.problem}"
            wait = backoff(troubles)
            await self._pause(wait if wire.wait is None else wire.wait + wait / 10)

    async def _request(self, call: Call, body: dict[str, Any], attempt: int) -> tuple[float, Kept | Wire]:
        """One request within the limits of rate, concurrency and budget. A reply is kept before anyone sees it."""
        for bucket, units in ((self.requests, 1), (self.tokens, call.most.tokens)):
            if bucket is not None and (delay := bucket.delay(units)) > 0:
                await self._pause(delay)
        while not self.desk.budget.reserve(call.most):
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
                self.desk.keep(kept)
                real = Spent(1, kept.prompt_tokens + kept.completion_tokens, kept.cost_usd)
                return started, kept
            finally:
                self.gate.leave()
        finally:
            self.desk.budget.settle(call.most, real)

    async def _post(self, call: Call, body: dict[str, Any]) -> Wire:
        try:
            async with asyncio.timeout(self.endpoint.deadline):
                wire = await request(self.client, call.path, body, self.secret)
        except TimeoutError:
            return Wire(problem=f"no whole answer within {self.endpoint.deadline:g} s", kind="silent")
        if wire.body is not None or wire.heard:
            self.last_answer = time.monotonic()
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

    def _stop_if_hopeless(self, wire: Wire) -> None:
        url = self.endpoint.base_url
        if wire.kind == "refused":
            raise JudgeError(f"{url} refused model {self.endpoint.model!r}: {wire.problem}{self._hint()}")
        unheard = time.monotonic() - self.last_answer
        if wire.kind == "down" and unheard > DOWN_AFTER:
            raise JudgeError(f"no server answers at {url} ({wire.problem}); start it, or mend base_url")
        if not wire.heard and unheard > max(DOWN_AFTER, SILENT_ROUNDS * self.endpoint.deadline):
            raise JudgeError(
                f"{url} gave no answer for {unheard:.0f} s ({wire.problem}); see to the server, or raise deadline"
            )

    def _kept(self, call: Call, attempt: int, body: str, seconds: float) -> Kept:
        self.answered += 1
        prompt, completion = usage_of(body)
        cost = self.endpoint.cost(prompt, completion)
        return Kept(call.key, call.prompt_id, attempt, body, prompt, completion, cost, seconds)

    def _count_unfit(self, wire: Wire) -> None:
        self.unfit += 1
        if not self.answered and self.unfit >= UNFIT_AT_FIRST:
            raise JudgeError(
                f"{self.endpoint.base_url} answered none of the first {self.unfit} calls: {wire.problem}; "
                "`pairwright doctor` shows what this server can do"
            )

    def _hint(self) -> str:
        if self.endpoint.api_key_env is None:
            return "; name the variable that holds the key in api_key_env, if it needs one"
        return f"; check the key in {self.endpoint.api_key_env}, and the model's name"
