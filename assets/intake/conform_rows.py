"""Records of any shape to our columns, one by one: each becomes a conversation with its responses, or says why not."""

import reprlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from pairwright.assets.intake.columns import RAW, Columns

ROLES = ("system", "developer", "user", "assistant")
SYSTEM_ROLES = ("system", "developer")
TOOL_ROLES = ("tool", "function")
TOOL_FIELDS = ("tool_calls", "function_call", "tool_call_id")
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 240


def by_row(objects: Sequence[tuple[int, Any, str | None]], columns: Columns) -> pl.DataFrame:
    """Rows of type RAW from (number, record, why it could not be read)."""
    rows = []
    for number, record, reason in objects:
        row: dict[str, Any] = {"row": number, "bad": reason, "excerpt": _excerpt(record, columns)}
        if reason is None:
            try:
                row |= _conformed(record, columns)
            except ValueError as error:
                row["bad"] = str(error)
        rows.append(row)
    return pl.DataFrame(rows, schema=RAW, strict=True)


def _conformed(record: Any, columns: Columns) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"the record is {_kind(record)}, expected an object")
    row: dict[str, Any] = {
        "messages": _messages(record.get(columns.prompt), columns.prompt),
        "references": [text for name in columns.references for text in _texts(record.get(name), name) if text.strip()],
        "tags": [text for name in columns.tags for text in _texts(record.get(name), name) if text.strip()],
        "answers": _answers(record, columns),
    }
    for field, name in columns.texts.items():
        text = _text(record.get(name), name)
        row[field] = text if text and text.strip() else None
    system = _text(record.get(columns.system), columns.system) if columns.system else None
    if system and system.strip() and not (columns.own_system and row["messages"][0]["role"] in SYSTEM_ROLES):
        row["messages"] = [{"role": "system", "content": system}, *row["messages"]]
    return row


def _messages(value: Any, name: str) -> list[dict[str, str]]:
    if value is None:
        raise ValueError(f"{name} is missing")
    if isinstance(value, str):
        if not (_text(value, name) or "").strip():
            raise ValueError(f"{name} is empty")
        return [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise ValueError(f"{name} is {_kind(value)}, expected a text or a list of messages")
    messages = [_message(message, f"{name}: turn {turn}") for turn, message in enumerate(value, start=1)]
    if not messages or not messages[-1]["content"].strip():
        raise ValueError(f"{name} is empty")
    if messages[-1]["role"] != "user":
        raise ValueError(f"{name} ends with the {messages[-1]['role']}'s turn, expected the user's")
    return messages


def _message(message: Any, place: str) -> dict[str, str]:
    """A turn's role and text. What tools are asked and answer has no place there, nor have pictures and sound."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise ValueError(f"{place} is no message with role and content")
    role = message["role"]
    if len(message) > 2:
        for field in TOOL_FIELDS:
            if _holds_something(message.get(field)):
                raise ValueError(f"{place} has {field}; conversations with tool calls are not supported")
    if role in TOOL_ROLES:
        raise ValueError(f"{place} is a {role}'s; conversations with tool calls are not supported")
    if role not in ROLES:
        raise ValueError(f"{place} has role {_short(role)}; allowed: {', '.join(ROLES)}")
    content = _text(message.get("content"), place)
    if content is None:
        raise ValueError(f"{place} has no content")
    return {"role": role, "content": content}


def _holds_something(value: Any) -> bool:
    """False for what typed tables put where other rows have a call: nulls, and structs and lists of nothing else."""
    while isinstance(value, (dict, list)) and len(value) == 1:
        value = next(iter(value.values() if isinstance(value, dict) else value))
    if isinstance(value, (dict, list)):
        return any(map(_holds_something, value.values() if isinstance(value, dict) else value))
    return value is not None and value != ""


def _answers(record: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    if columns.response or (columns.steps and not columns.responses):
        steps = None
        if columns.steps and columns.step_labels:
            steps = _steps(record.get(columns.steps), record.get(columns.step_labels), columns)
        if columns.response:
            text = _text(record.get(columns.response), columns.response)
        else:
            text = "\n".join(step["text"] for step in steps) if steps else None
        if text is None:
            raise ValueError(f"{columns.response or columns.steps} is missing")
        policy = _text(record.get(columns.policy), columns.policy) if columns.policy else None
        return [{"policy": policy or "unknown", "text": text, "steps": steps}]
    if len(columns.responses) > 1:
        texts = [_text(record.get(name), name) for name in columns.responses]
    elif columns.responses:
        texts = _texts(record.get(columns.responses[0]), columns.responses[0], with_nulls=True)
    else:
        return []
    policies: list[Any] = ["unknown"] * len(texts)
    if isinstance(columns.policies, list):
        policies = list(columns.policies)
    elif columns.policies and record.get(columns.policies) is not None:
        policies = _texts(record.get(columns.policies), columns.policies, with_nulls=True)
    elif len(columns.responses) > 1:
        policies = list(columns.responses)
    if len(policies) != len(texts):
        raise ValueError(f"{len(texts)} responses but {len(policies)} policies")
    found = zip(policies, texts, _steps_of_each(record, columns, len(texts)), strict=True)
    return [
        {"policy": policy or "unknown", "text": text, "steps": steps}
        for policy, text, steps in found
        if text is not None
    ]


def _steps_of_each(record: dict[str, Any], columns: Columns, responses: int) -> list[Any]:
    """In wide form: the steps of each response, None where it has none."""
    if not columns.steps or not columns.step_labels:
        return [None] * responses
    both = []
    for name in (columns.steps, columns.step_labels):
        value = record.get(name) if record.get(name) is not None else [None] * responses
        if not isinstance(value, list) or len(value) != responses:
            raise ValueError(f"{name} is {_kind(value)}, expected a list for each of the {responses} responses")
        both.append(value)
    return [_steps(steps, labels, columns) for steps, labels in zip(*both, strict=True)]


def _steps(steps: Any, labels: Any, columns: Columns) -> list[dict[str, Any]] | None:
    """A response's steps with their labels."""
    if steps is None and labels is None:
        return None
    for name, value in ((columns.steps, steps), (columns.step_labels, labels)):
        if not isinstance(value, list):
            raise ValueError(f"{name} is {_kind(value)}, expected a list")
    if len(steps) != len(labels):
        raise ValueError(f"{len(steps)} {columns.steps} but {len(labels)} {columns.step_labels}")
    for step, label in zip(steps, labels, strict=True):
        if not (_text(step, columns.steps) or "").strip():
            raise ValueError(f"{columns.steps} has an empty step")
        if label not in (0, 1):
            raise ValueError(f"{columns.step_labels} holds {_kind(label)}, expected true or false")
    return [{"text": step, "right": int(label)} for step, label in zip(steps, labels, strict=True)] or None


def _texts(value: Any, name: str | None, *, with_nulls: bool = False) -> list[Any]:
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    texts = [_text(item, name) for item in values]
    return texts if with_nulls else [text for text in texts if text is not None]


def _text(value: Any, name: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"{name} is {_kind(value)}, expected a text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} is not valid Unicode") from None
    return value


def _kind(value: Any) -> str:
    return f"{type(value).__name__} ({_short(value)})"


def _short(value: Any, limit: int = 40) -> str:
    """The beginning of a value's repr, which is not made whole: a value may be deep, or long."""
    text = _SHORT.repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "…"


def _excerpt(record: Any, columns: Columns) -> str:
    value = record.get(columns.prompt) if isinstance(record, dict) else record
    text = value if isinstance(value, str) else "" if value is None else _short(value, 200)
    return text[:200].encode(errors="replace").decode()
