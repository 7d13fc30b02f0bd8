"""Which fields of a request a server takes: what a refusal names is left out, until a request goes through."""

from collections.abc import Awaitable, Callable
from typing import Any

from pairwright.models.serving.fields import REPLACED, blamed, fitted
from pairwright.models.serving.wire import Wire

Post = Callable[[dict[str, Any]], Awaitable[Wire]]
"""Sends a small request with these fields."""
FORBIDDEN = 403
"""Status by which a server may refuse a field as well as a key."""
UNFINISHED = "output limit was reached"
"""In the refusal of a model that would have thought on: it takes the request, and wants more tokens."""
ROOM = 2048
"""Tokens of an answer to a probe where a model thinks before it answers."""


async def what_is_taken(post: Post, fields: dict[str, Any], known: dict[str, str]) -> tuple[Wire, dict[str, str]]:
    """The first reply that comes, and why each field is refused that stood in its way, those `known` to be among them.

    Refusals cost nothing. Where none says what is wrong, the fields are tried one at a time.
    """
    refused = dict(known)
    wire = await post(fitted(fields, refused))
    while _is_refusal(wire, fields):
        problem = wire.problem or "refused"
        left = {name: value for name, value in fitted(fields, refused).items() if name not in REPLACED.values()}
        name = blamed(problem, left)
        if name is None or name in refused:
            return await _one_by_one(post, fields, wire)
        refused[name] = problem
        wire = await post(fitted(fields, refused))
    if UNFINISHED in (wire.problem or ""):
        wire = await post(fitted({**fields, "max_tokens": ROOM}, refused))
    return wire, refused


async def _one_by_one(post: Post, fields: dict[str, Any], before: Wire) -> tuple[Wire, dict[str, str]]:
    bare = await post({})
    if bare.body is None:
        return before, {}
    refused = dict[str, str]()
    for name, value in fields.items():
        wire = await post({name: value})
        if _is_refusal(wire, {name: value}):
            refused[name] = wire.problem or "refused"
    return bare, refused


def _is_refusal(wire: Wire, fields: dict[str, Any]) -> bool:
    """Whether a request was turned down for what stands in it."""
    if wire.body is not None or UNFINISHED in (wire.problem or ""):
        return False
    return wire.kind == "unfit" or (wire.status == FORBIDDEN and blamed(wire.problem or "", fields) is not None)
