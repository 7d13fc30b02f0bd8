"""Records of any shape to our columns, one by one: each becomes a conversation with its responses, or says why not."""

from collections.abc import Sequence
from typing import Any

import polars as pl

from pairwright.assets.columns import RAW, Columns

ROLES = ("system", "developer", "user", "assistant", "tool")
LAST_ROLES = ("user", "tool")


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
    if system and system.strip():
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
    messages = []
    for turn, message in enumerate(value, start=1):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise ValueError(f"{name}: turn {turn} is no message with role and content")
        if message["role"] not in ROLES:
            raise ValueError(f"{name}: turn {turn} has role {message['role']!r}; allowed: {', '.join(ROLES)}")
        content = _text(message.get("content"), f"{name}: turn {turn}")
        if content is None:
            raise ValueError(f"{name}: turn {turn} has no content")
        messages.append({"role": message["role"], "content": content})
    if not messages or not messages[-1]["content"].strip():
        raise ValueError(f"{name} is empty")
    if messages[-1]["role"] not in LAST_ROLES:
        raise ValueError(f"{name} ends with the {messages[-1]['role']}'s turn, expected the user's")
    return messages


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
    text = repr(value)
    return f"{type(value).__name__} ({text if len(text) <= 40 else text[:37] + '…'})"


def _excerpt(record: Any, columns: Columns) -> str:
    value = record.get(columns.prompt) if isinstance(record, dict) else record
    text = value if isinstance(value, str) else "" if value is None else repr(value)
    return text[:200].encode(errors="replace").decode()
