"""Conversations in the spellings that preference sets have, and what two of them share.

A side of a pair is a text, the assistant's turns alone, or a whole conversation. The turns that both sides begin with
are the prompt; what each goes on with is its response.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pairwright.schemas.errors import short

ROLES = {"human": "user", "gpt": "assistant", "prompter": "user"}
"""How ShareGPT and its like call roles → ours."""
TAGS = {"Human": "user", "Assistant": "assistant"}
_HH = re.compile(r"(?:^|\n\n)(Human|Assistant):")
MORE = ("tool_calls", "function_call", "reasoning", "reasoning_content", "thinking")
"""What a message may hold beside its text: then it stays a message."""
Turns = list[Any]
"""Messages, each a mapping with role and content."""


class Sides(NamedTuple):
    """A prompt and the two responses that are compared."""

    prompt: Any
    """A text or messages; None where neither the row nor the sides have one."""
    first: Any
    """A text, or the assistant's message."""
    second: Any


def turns_of(value: Any, place: str) -> Turns | None:
    """The messages of a conversation in any spelling; None for a plain text. Raises ValueError saying what it is.

    A text in the form of HH (`\\n\\nHuman: …\\n\\nAssistant: …`) is one; an empty turn of the assistant's at its end is
    where the response goes.
    """
    if isinstance(value, str):
        return _tagged(value) if value.startswith("\n\nHuman:") else None
    if isinstance(value, Mapping):
        return [turn_of(value, place)]
    if not isinstance(value, list):
        raise ValueError(f"{place} is {short(value)}, expected a text or a list of messages")
    return [turn_of(one, f"{place}: turn {number}") for number, one in enumerate(value, start=1)]


def turn_of(message: Any, place: str) -> dict[str, Any]:
    """A message with role and content, and whatever else it has. Raises ValueError for what is none.

    What holds more than text stays as it is: whoever reads the prompt says whether it can be used.
    """
    if not isinstance(message, Mapping):
        raise ValueError(f"{place} is no message with role and content")
    told = {key: one for key, one in message.items() if one is not None}
    role, content = told.get("role", told.get("from")), told.get("content", told.get("value"))
    if not isinstance(role, str):
        raise ValueError(f"{place} is no message with role and content")
    if isinstance(content, list):
        content = _joined(content)
    rest = {key: one for key, one in told.items() if key not in ("role", "from", "content", "value")}
    return {**rest, "role": ROLES.get(role, role), "content": content}


def response_of(value: Any, place: str) -> Any:
    """A response: a text as it is, or what the assistant's one turn says. Raises ValueError saying what it is."""
    if value is None:
        raise ValueError(f"{place} is missing")
    turns = turns_of(value, place)
    if turns is None:
        return value
    if len(turns) != 1 or turns[0]["role"] != "assistant":
        roles = ", ".join(str(one["role"]) for one in turns[:4]) or "none"
        raise ValueError(f"{place} has {len(turns)} turns ({roles}), expected the assistant's one")
    message = turns[0]
    if any(message.get(key) for key in MORE) or isinstance(message["content"], list):
        return message
    if message["content"] is None:
        raise ValueError(f"{place} has no content")
    return message["content"]


def sides_of(prompt: Any, first: Any, second: Any, names: tuple[str, str, str]) -> Sides:
    """The prompt and both responses of a row. `names` are the columns' for messages. Raises ValueError.

    Without a prompt beside them, what two texts share up to a space is the prompt.
    """
    for value, name in ((first, names[1]), (second, names[2])):
        if value is None:
            raise ValueError(f"{name} is missing")
    before = _without_place(turns_of(prompt, names[0])) if prompt is not None else None
    one, other = turns_of(first, names[1]), turns_of(second, names[2])
    if one is None and other is None:
        if prompt is None:
            return _parted(first, second, names)
        return Sides(prompt if before is None else before, first, second)
    if one is None or other is None:
        text, turns = (names[1], names[2]) if one is None else (names[2], names[1])
        raise ValueError(f"{text} is a text and {turns} a conversation; both must be of one form")
    shared = _shared(one, other)
    answers = [response_of(side[shared:], name) for side, name in ((one, names[1]), (other, names[2]))]
    if not shared:
        return Sides(prompt if before is None else before, *answers)
    if prompt is not None:
        _check_prompt(prompt if before is None else before, one[:shared], names)
    return Sides(one[:shared], *answers)


def _shared(one: Turns, other: Turns) -> int:
    """How many turns two conversations begin with alike; the last of each is its own."""
    most = max(min(len(one), len(other)) - 1, 0)
    return next((n for n in range(most) if not _same(one[n], other[n])), most)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("role", "content", *MORE))


def _check_prompt(prompt: Any, shared: Turns, names: tuple[str, str, str]) -> None:
    """Raises ValueError where the prompt beside the sides is another than the one that they begin with."""
    said = [str(one["content"]).strip() for one in shared]
    if isinstance(prompt, str):
        known = prompt.strip() in said
    else:
        known = [str(one["content"]).strip() for one in prompt] == said[-len(prompt) :]
    if not known:
        raise ValueError(f"{names[0]} says other things than the turns that {names[1]} and {names[2]} begin with")


def _parted(first: Any, second: Any, names: tuple[str, str, str]) -> Sides:
    """Two texts without a prompt: what they share is it."""
    alike = (n for n, (one, other) in enumerate(zip(first, second, strict=False)) if one != other)
    shared = first[: next(alike, min(len(first), len(second)))]
    if shared in (first, second):  # else nothing is left of one
        shared = shared[:-1]
    cut = max((match.end() for match in re.finditer(r"\s+", shared)), default=0)
    if not shared[:cut].strip():
        raise ValueError(f"there is no prompt: {names[1]} and {names[2]} share no beginning; name its column")
    return Sides(shared[:cut].rstrip(), first[cut:], second[cut:])


def _tagged(text: str) -> Turns:
    marks = list(_HH.finditer(text))
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        {"role": TAGS[mark[1]], "content": text[mark.end() : end].strip()}
        for mark, end in zip(marks, ends, strict=True)
    ]


def _without_place(turns: Turns | None) -> Turns | None:
    """Without the empty turn at the end, where the response goes."""
    if turns and turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        return turns[:-1]
    return turns


def _joined(parts: Sequence[Any]) -> Any:
    """The text of content parts, where all of them are texts."""
    texts = [part.get("text") if isinstance(part, Mapping) else part for part in parts]
    kinds = {part.get("type", "text") if isinstance(part, Mapping) else "text" for part in parts}
    known = [text for text in texts if isinstance(text, str)]
    return "\n".join(known) if kinds == {"text"} and len(known) == len(texts) else list(parts)
