"""When to give up on a server or a model: nobody listens, nothing comes back, or nothing of it is of use."""

import time
from collections import Counter

from pairwright.models.serving.call import Call
from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.reply_store import ReplyStore
from pairwright.models.serving.wire import Wire, hint
from pairwright.schemas.errors import JudgeError

DOWN_AFTER = 20.0
"""Seconds without any answer and nobody listening, after which a server counts as down."""
SILENT_ROUNDS = 3
"""Deadlines in a row without any reply, after which a server may be hung."""
AT_FIRST = 8
"""Calls refused or answered to no use before any went well, after which the recipe or server may be at fault."""
BROKEN_AFTER, BUSY_AFTER = 25.0, 120.0
"""Seconds of errors, or of being put off, after which a server that never replied may be out of order."""
OUTAGE = 600.0
"""Seconds that a server which has replied before may be out of order."""


class Patience:
    """What an endpoint has shown so far. Its errors name the URL and what to change.

    A trouble may be the server's or that of the calls that are left (texts that it cannot take). Where that is in
    doubt, the caller puts a small question to the server, and only what that comes to ends a build.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.last_heard = self.last_reply = time.monotonic()
        self.replies = self.refused = self.strange = 0

    def heard(self) -> None:
        """The server said something, if only an error."""
        self.last_heard = time.monotonic()

    def replied(self, body: str) -> None:
        """A whole reply came. Raises JudgeError where the first ones are no JSON: this is no such server."""
        if body.lstrip()[:1] == "{":
            self.replies += 1
            self.last_reply = time.monotonic()
            return
        self.strange += 1
        if not self.replies and self.strange >= AT_FIRST:
            raise JudgeError(
                f"{self.endpoint.base_url} does not speak the OpenAI protocol: it answers {body.strip()[:60]!r}; "
                "mend base_url (it often ends in /v1)"
            )

    def lost(self, wire: Wire) -> None:
        """A request brought no reply. Raises JudgeError where that alone says that the next ones would not either."""
        url = self.endpoint.base_url
        self.refused += wire.kind == "unfit"
        if wire.kind == "refused":
            raise JudgeError(f"{url} refused model {self.endpoint.model!r}: {wire.problem}{hint(self.endpoint, wire)}")
        if wire.kind == "down" and time.monotonic() - self.last_heard > DOWN_AFTER:
            raise JudgeError(f"no server answers at {url} ({wire.problem}); start it, or mend base_url")

    def in_doubt(self, wire: Wire) -> bool:
        """Whether that much went wrong that it may be the server's fault."""
        if wire.kind == "unfit":
            return not self.replies and self.refused >= AT_FIRST
        return time.monotonic() - self.last_reply > self.bears(wire)

    def bears(self, wire: Wire) -> float:
        """Seconds without a reply that such a trouble may go on."""
        if wire.kind == "silent":
            return max(DOWN_AFTER, SILENT_ROUNDS * self.endpoint.deadline)
        if self.replies:
            return OUTAGE
        return BROKEN_AFTER if wire.kind in {"broken", "down"} else BUSY_AFTER + (wire.wait or 0.0)

    def end(self, wire: Wire) -> JudgeError:
        """The error of a server that did not answer a small question either."""
        url, unheard = self.endpoint.base_url, time.monotonic() - self.last_reply
        if wire.kind == "unfit":
            return JudgeError(
                f"{url} answered none of the first {self.refused} calls, nor a short one with the same options: "
                f"{wire.problem}; `pairwright doctor` shows what this server can do"
            )
        if wire.kind == "silent":
            return JudgeError(
                f"{url} gave no answer for {unheard:.0f} s ({wire.problem}); see to the server, or raise deadline"
            )
        return JudgeError(
            f"{url} gave nothing but errors for {unheard:.0f} s, the last: {wire.problem}; see to the server, or to "
            "the gateway before it, and build again: what came in is kept"
        )


class FirstReplies:
    """Whether what comes in can be used at all: the first replies of a judge or policy that never gave anything of use.

    What was of use in an earlier build counts, too: then the calls that are left may be the hard ones.
    """

    def __init__(self, endpoint: Endpoint, replies: ReplyStore) -> None:
        self.endpoint, self.replies = endpoint, replies
        self.fine = False
        self.found: dict[str, tuple[str, str]] = {}

    def used(self) -> None:
        """A reply was of use."""
        self.fine = True

    def unusable(self, call: Call, why: str, raw: str | None) -> None:
        """A reply to a call was not."""
        if not self.fine:
            self.found.setdefault(call.key, (why, raw or ""))

    def check(self) -> None:
        """Raises JudgeError where enough calls were answered, none of them to any use."""
        if self.fine or len(self.found) < AT_FIRST:
            return
        if self.replies.proven():
            self.fine = True
            return
        reasons = Counter(why for why, _ in self.found.values()).most_common(3)
        told = "; ".join(f"{count} times: {why}" for why, count in reasons)
        raw = next((one for _, one in self.found.values() if one), "")
        shown = f"; the first one: {raw.strip()[:300]!r}" if raw else ""
        raise JudgeError(
            f"{self.endpoint.base_url}, model {self.endpoint.model!r}: none of the first {len(self.found)} calls was "
            f"answered to any use ({told}){shown}; what came in is kept. See to the model, its options "
            "and max_tokens, or try `pairwright doctor`"
        )
