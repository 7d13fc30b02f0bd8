"""Asking: many calls in flight at once, refilled as each ends; answers are handed out while calls go on.

The event loop runs in a thread of its own, so that verdicts are written meanwhile. The client, which takes long to
import, is imported when there is something to ask.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Iterator
from itertools import chain

from pairwright.models.serving.abilities import refused
from pairwright.models.serving.call import Answer, Call
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.fields import fitted
from pairwright.models.serving.reply_store import ReplyStore

GATHER = 0.2
"""Seconds in which answers are gathered before they are handed out."""
LOOK = 1.0
"""Seconds between looks at whether the server is waited for."""


def ask(endpoint: Endpoint, calls: Iterable[Call], replies: ReplyStore) -> Iterator[list[Answer]]:
    """Answers to all calls, in lists, as they come in.

    `calls` is drawn from only as places get free. Fields that the server refuses are left out of them, or replaced.
    Raises JudgeError when the server is down or refuses everyone, or a field that the recipe asks for, and BudgetError
    when the next call could pass a cap; what came in before that was handed out.
    """
    drawn = iter(calls)
    first = next(drawn, None)
    if first is None:
        return
    gone = refused(endpoint, replies, first.path)
    fit: Iterator[Call] = chain((first,), drawn)
    if gone:
        fit = (call._replace(body=fitted(call.body, gone)) for call in fit)
    if endpoint.transport == "batch":
        from pairwright.models.serving.batch import ask_in_batches

        yield from ask_in_batches(endpoint, fit, replies)
    else:
        yield from _Asking(endpoint, fit, replies).answers()


class _Asking:
    """The thread that calls, and the hand-out of what it brings."""

    def __init__(self, endpoint: Endpoint, calls: Iterator[Call], replies: ReplyStore) -> None:
        from pairwright.models.serving.live_call import LiveCalls

        self.endpoint, self.calls, self.replies = endpoint, calls, replies
        self.live = LiveCalls(endpoint, replies)
        self.done: list[Answer] = []
        self.error: BaseException | None = None
        self.finished = False
        self.changed = threading.Condition()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.main: asyncio.Task[None] | None = None

    def answers(self) -> Iterator[list[Answer]]:
        thread = threading.Thread(target=self._run, name="pairwright-calls", daemon=True)
        thread.start()
        try:
            while True:
                with self.changed:
                    while not self.done and not self.finished:
                        self.changed.wait(LOOK)
                        self._tell()
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

    def _tell(self) -> None:
        """Say when a server that has answered before is waited for."""
        if self.live.waits is not None:
            why, seconds, most = self.live.waits
            self.replies.tell(f"waiting for {self.endpoint.base_url} ({why[:80]}), seconds", int(seconds), int(most))

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
        from pairwright.models.serving.wire import open_client

        self.loop, self.main = asyncio.get_running_loop(), asyncio.current_task()
        async with open_client(self.endpoint) as client:
            self.live.start(client)
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
                    self.live.halt.set()

    async def _worker(self) -> None:
        for call in self.calls:
            answer = await self.live.answer(call)
            with self.changed:
                self.done.append(answer)
                if len(self.done) == 1:
                    self.changed.notify()
            if self.live.halt.is_set():
                return
