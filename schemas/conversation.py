"""Conversations as data sets have them, in one canonical form: roles and texts, or more than that.

A canonical message has `role` and `content` (a text, or parts, see `content_parts`), and where it has such a thing
`name`, `tool_calls`, `tool_call_id` and `reasoning`. A conversation of roles and texts alone is plain: it is known by
these, as ever. Of any other, the rendition as texts is accompanied by its canonical JSON.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pairwright.schemas.content_parts import Attached, Keep, keep_nothing, read_content, text_of
from pairwright.schemas.errors import short
from pairwright.schemas.tool_calls import canonical, check_answers, read_tool_calls

ROLES = ("system", "developer", "user", "assistant", "tool")
SYSTEM_ROLES = ("system", "developer")
SPELLINGS = {
    **{role: role for role in ROLES},
    "human": "user",
    "gpt": "assistant",
    "model": "assistant",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "ipython": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
"""How data sets call roles → ours."""
CALLS = ("function_call", "tool_call")
"""Roles of turns whose text is a call."""
REASONING = ("reasoning_content", "reasoning", "thinking")
"""Where a message may have what its writer thought before it answered."""
_NO_COLUMNS: dict[str, list[Any]] = {}


class Conversation(NamedTuple):
    """A conversation as tables hold it."""

    messages: list[dict[str, str]]
    """Role and text of each turn."""
    typed: str | None
    """Its canonical JSON, where it holds more than that."""


def read_conversation(
    value: Sequence[Any], place: str, keep: Keep = keep_nothing, attached: Attached | None = None
) -> Conversation:
    """A list of messages in any spelling. Raises ValueError naming the turn that cannot be used, and why."""
    return stored(read_messages(value, place, keep, attached))


def stored(messages: Sequence[Mapping[str, Any]]) -> Conversation:
    """Canonical messages as tables hold them. A name alone makes no conversation more than texts."""
    if all(len(one) == 2 and isinstance(one["content"], str) for one in messages):
        return Conversation(list(map(dict, messages)), None)
    texts = [{"role": one["role"], "content": text_of(one["content"])} for one in messages]
    more = any(one.keys() - {"role", "content", "name"} or not isinstance(one["content"], str) for one in messages)
    return Conversation(texts, canonical(list(messages)) if more else None)


def turns_of(messages: Sequence[Mapping[str, str]], typed: str | None) -> list[dict[str, Any]]:
    """The canonical messages of a conversation as tables hold it."""
    return list(json.loads(typed)) if typed is not None else [dict(one) for one in messages]


def read_messages(
    value: Sequence[Any], place: str, keep: Keep = keep_nothing, attached: Attached | None = None
) -> list[dict[str, Any]]:
    """Canonical messages from a list of them in any spelling.

    Media that stand in columns beside and that no placeholder stands for go before the first user's turn, as trainers
    of vision models read them. Raises ValueError.
    """
    if attached is None and all(map(_is_plain, value)):
        return [{"role": one["role"], "content": one["content"]} for one in value]
    attached = attached or Attached(_NO_COLUMNS)
    messages = [read_message(one, f"{place}: turn {turn}", keep, attached) for turn, one in enumerate(value, start=1)]
    try:
        loose = attached.untouched()
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    if loose:
        _place(loose, messages, place, keep)
    check_answers(messages, place)
    return messages


def read_message(value: Any, place: str, keep: Keep = keep_nothing, attached: Attached | None = None) -> dict[str, Any]:
    """One canonical message. Raises ValueError saying what is wrong with it."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{place} is no message with role and content")
    told = {key: one for key, one in value.items() if one is not None}
    role = told.get("role", told.get("from"))
    if not isinstance(role, str):
        raise ValueError(f"{place} is no message with role and content")
    if role not in SPELLINGS:
        raise ValueError(f"{place} has role {short(role)}; allowed: {', '.join(ROLES)}")
    content: Any = told.get("content", told.get("value"))
    message: dict[str, Any] = {"role": SPELLINGS[role], "content": ""}
    if role in CALLS:
        message["tool_calls"] = read_tool_calls(content, place)
        return message
    thoughts = list[str]()
    if content is not None:
        message["content"], inside = read_content(content, place, keep, attached or Attached(_NO_COLUMNS))
        thoughts += [inside] if inside else []
    calls = _calls_of(told, place)
    if calls:
        message["tool_calls"] = calls
    thoughts += [text for key in REASONING if (text := _text(told.get(key), f"{place}: {key}"))]
    if message["role"] == "assistant" and thoughts:
        message["reasoning"] = thoughts[0]
    for key in ("name", "tool_call_id"):
        if text := _text(told.get(key), f"{place}: {key}"):
            message[key] = text
    _check_fields(message, place, content is not None)
    return message


class Answer(NamedTuple):
    """A response as tables hold it."""

    text: str
    reasoning: str | None = None
    tool_calls: str | None = None
    """Canonical JSON of its calls."""


def read_response(value: Any, place: str) -> Answer:
    """A response: a text, the assistant's message, or a list of just that. Raises ValueError saying what it is instead.

    A text stays as it is; of a message the reasoning and the calls are kept apart from the answer.
    """
    if isinstance(value, str):
        return Answer(str(_text(value, place)))
    turns = value if isinstance(value, list) else [value]
    if len(turns) != 1:
        raise ValueError(f"{place} is a list of {len(turns)} turns, expected the assistant's one")
    message = read_message(turns[0], place)
    if message["role"] != "assistant":
        raise ValueError(f"{place} is a {message['role']}'s turn, expected the assistant's")
    return response_of(message, place)


def response_of(message: Mapping[str, Any], place: str) -> Answer:
    """A canonical message of the assistant as a response. Raises ValueError where it is none."""
    content, calls = message["content"], message.get("tool_calls")
    if not isinstance(content, str):
        kinds = sorted({part["type"] for part in content} - {"text"})
        raise ValueError(f"{place} holds {' and '.join(kinds)}; a response is text, reasoning and tool calls")
    reasoning = message.get("reasoning")
    if reasoning is not None and not content.strip() and not calls:
        raise ValueError(f"{place} has reasoning only, and no answer")
    return Answer(content, reasoning, canonical(calls) if calls else None)


def has_content(message: Mapping[str, Any]) -> bool:
    """Whether a message says, shows or calls anything."""
    content = message["content"]
    return bool(message.get("tool_calls")) or bool(content if not isinstance(content, str) else content.strip())


def _calls_of(message: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    if _holds_something(message.get("tool_calls")):
        return read_tool_calls(message["tool_calls"], place)
    if _holds_something(message.get("function_call")):
        return read_tool_calls([message["function_call"]], place)
    return []


def _check_fields(message: Mapping[str, Any], place: str, has_content_field: bool) -> None:
    role = message["role"]
    if "tool_calls" in message and role != "assistant":
        raise ValueError(f"{place} is a {role}'s and has tool_calls; only an assistant's can")
    if "tool_call_id" in message and role != "tool":
        raise ValueError(f"{place} is a {role}'s and has tool_call_id; only a tool's can")
    if not has_content_field and "tool_calls" not in message:
        only = " but reasoning" if "reasoning" in message else ""
        raise ValueError(f"{place} has no content{only}")


def _place(loose: Mapping[str, Sequence[Any]], messages: list[dict[str, Any]], place: str, keep: Keep) -> None:
    """Put media that nothing stands for before the text of the first user's turn."""
    first = next((one for one in messages if one["role"] == "user"), None)
    if first is None:
        raise ValueError(f"{place} has no user's turn that the row's {' and '.join(loose)} could go to")
    parts: list[dict[str, str]] = []
    for kind, values in loose.items():
        for number, value in enumerate(values, start=1):
            try:
                parts.append({"type": kind, **keep(kind, value)})
            except ValueError as error:
                raise ValueError(f"{place}: {kind} {number} {error}") from None
    content = first["content"]
    text = [{"type": "text", "text": content}] if isinstance(content, str) and content else []
    first["content"] = [*parts, *(content if not isinstance(content, str) else text)]


def _is_plain(message: Any) -> bool:
    """Whether a message is a role and a text in the usual spelling, and nothing else."""
    if not isinstance(message, dict):
        return False
    content = message.get("content")
    if not isinstance(content, str) or message.get("role") not in ROLES:
        return False
    if len(message) > 2 and any(one is not None and key not in ("role", "content") for key, one in message.items()):
        return False
    return content.isascii() or _is_unicode(content)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _holds_something(value: Any) -> bool:
    """False for what typed tables put where other rows have a call: nulls, and structs and lists of nothing else."""
    while isinstance(value, dict | list) and len(value) == 1:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    if isinstance(value, dict | list):
        return any(map(_holds_something, value.values() if isinstance(value, dict) else value))
    return value is not None and value != ""


def _text(value: Any, place: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{place} is {short(value)}, expected a text")
    if not _is_unicode(value):
        raise ValueError(f"{place} is not valid Unicode")
    return value
