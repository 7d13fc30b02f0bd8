"""A call to a model, and what it came to."""

from collections.abc import Callable
from typing import Any, NamedTuple

from pairwright.models.serving.endpoint import Endpoint
from pairwright.models.serving.reply import UnusableError, usage_of
from pairwright.models.serving.reply_store import Kept, Spent

TRIES = 3
"""Replies to one request that are read, per build, before it is given up as a failure row."""


class Call(NamedTuple):
    """One request, and how to read its reply."""

    key: str
    prompt_id: str
    unit: Any
    """What the caller groups answers by."""
    path: str
    body: dict[str, Any]
    most: Spent
    """What the call may take at most."""
    read: Callable[[str], Any]
    """From the reply's body to a value; raises UnusableError."""

    def value_in(self, reply: str) -> Any:
        """What `read` makes of a reply. Raises UnusableError and nothing else, whatever the reply is and whoever reads.

        A reply is kept before it is read, so any other error would end this build and every later one.
        """
        try:
            return self.read(reply)
        except UnusableError:
            raise
        except Exception as error:  # of any kind: readers may be a package's own
            raise UnusableError(f"the reply cannot be read: {type(error).__name__}: {error}") from error


def kept_of(endpoint: Endpoint, call: Call, attempt: int, body: str, seconds: float) -> Kept:
    """A reply to a call with what it says that it took, at the endpoint's prices."""
    used = usage_of(body)
    cost = endpoint.cost(used.prompt, used.completion)
    thought = used.reasoning or None
    return Kept(call.key, call.prompt_id, attempt, body, used.prompt, used.completion, cost, seconds, thought)


class Answer(NamedTuple):
    """What a call came to: a value, or a failure with the raw text."""

    call: Call
    value: Any
    failure: str | None
    raw: str | None
    cost_usd: float
    calls: int
    """Requests that were answered in this build."""
