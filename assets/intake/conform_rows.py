"""Records of any shape to our columns, one by one: each becomes a conversation with its responses, or says why not."""

import reprlib
from collections.abc import Sequence
from typing import Any

import polars as pl

from pairwright.assets.intake.columns import RAW, Columns
from pairwright.schemas.content_parts import Attached, Keep, keep_nothing
from pairwright.schemas.conversation import SYSTEM_ROLES, Answer, has_content, read_messages, read_response, stored
from pairwright.schemas.tool_calls import canonical, read_tool_calls, read_tools

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 240


def by_row(objects: Sequence[tuple[int, Any, str | None]], columns: Columns, keep: Keep = keep_nothing) -> pl.DataFrame:
    """Rows of type RAW from (number, record, why it could not be read). `keep` stores what media they hold."""
    rows = []
    for number, record, reason in objects:
        row: dict[str, Any] = {"row": number, "bad": reason, "excerpt": _excerpt(record, columns)}
        if reason is None:
            try:
                row |= _conformed(record, columns, keep)
            except ValueError as error:
                row["bad"] = str(error)
        rows.append(row)
    return pl.DataFrame(rows, schema=RAW, strict=True)


def _conformed(record: Any, columns: Columns, keep: Keep) -> dict[str, Any]:
    if not isinstance(record, dict):
        raise ValueError(f"the record is {_kind(record)}, expected an object")
    turns = _turns(record, columns, keep)
    row: dict[str, Any] = {
        "references": [text for name in columns.references for text in _texts(record.get(name), name) if text.strip()],
        "tags": [text for name in columns.tags for text in _texts(record.get(name), name) if text.strip()],
        "answers": _answers(record, columns),
    }
    for field, name in columns.texts.items():
        text = _text(record.get(name), name)
        row[field] = text if text and text.strip() else None
    system = _text(record.get(columns.system), columns.system) if columns.system else None
    if system and system.strip() and not (columns.own_system and turns[0]["role"] in SYSTEM_ROLES):
        turns = [{"role": "system", "content": system}, *turns]
    row["messages"], row["typed"] = stored(turns)
    if columns.tools and (tools := read_tools(record.get(columns.tools), columns.tools)):
        row["tools"] = canonical(tools)
    return row


def _turns(record: dict[str, Any], columns: Columns, keep: Keep) -> list[dict[str, Any]]:
    """The prompt's canonical messages."""
    value, name = record.get(columns.prompt), columns.prompt
    attached = {kind: values for kind, column in columns.media.items() if (values := _several(record.get(column)))}
    if value is None:
        raise ValueError(f"{name} is missing")
    if isinstance(value, str):
        if not attached:
            if not (_text(value, name) or "").strip():
                raise ValueError(f"{name} is empty")
            return [{"role": "user", "content": value}]
        value = [{"role": "user", "content": value}]
    if not isinstance(value, list):
        raise ValueError(f"{name} is {_kind(value)}, expected a text or a list of messages")
    messages = read_messages(value, name, keep, Attached(attached) if attached else None)
    if not messages or not has_content(messages[-1]):
        raise ValueError(f"{name} is empty")
    if messages[-1]["role"] not in ("user", "tool"):
        raise ValueError(f"{name} ends with the {messages[-1]['role']}'s turn, expected the user's or a tool's")
    return messages


def _several(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if one is not None]


def _answers(record: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    if columns.response or (columns.steps and not columns.responses):
        steps = None
        if columns.steps and columns.step_labels:
            steps = _steps(record.get(columns.steps), record.get(columns.step_labels), columns)
        if columns.response:
            value = record.get(columns.response)
        else:
            value = "\n".join(step["text"] for step in steps) if steps else None
        answer = _answer(value, columns.response or columns.steps, *_beside(record, columns))
        if answer is None:
            raise ValueError(f"{columns.response or columns.steps} is missing")
        policy = _text(record.get(columns.policy), columns.policy) if columns.policy else None
        return [{"policy": policy or "unknown", **answer, "steps": steps}]
    if len(columns.responses) > 1:
        texts = [_answer(record.get(name), name) for name in columns.responses]
    elif columns.responses:
        texts = _answers_of_one(record, columns)
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
        {"policy": policy or "unknown", **answer, "steps": steps}
        for policy, answer, steps in found
        if answer is not None
    ]


def _beside(record: dict[str, Any], columns: Columns) -> list[Any]:
    """What stands beside the row's responses: their reasoning and their tool calls."""
    return [record.get(name) if name else None for name in (columns.reasoning, columns.tool_calls)]


def _answers_of_one(record: dict[str, Any], columns: Columns) -> list[dict[str, Any] | None]:
    """In wide form: the responses in one column, with what stands beside each."""
    name = columns.responses[0]
    value = record.get(name)
    values = [] if value is None else value if isinstance(value, list) else [value]
    beside = []
    for column, more in zip((columns.reasoning, columns.tool_calls), _beside(record, columns), strict=True):
        if more is not None and (not isinstance(more, list) or len(more) != len(values)):
            raise ValueError(f"{column} is {_kind(more)}, expected one for each of the {len(values)} responses")
        beside.append([None] * len(values) if more is None else more)
    return [_answer(*one) for one in zip(values, [name] * len(values), *beside, strict=True)]


def _answer(value: Any, name: str | None, reasoning: Any = None, tool_calls: Any = None) -> dict[str, Any] | None:
    """A response with what stands beside it; None where there is none."""
    if isinstance(value, str) and reasoning is None and tool_calls is None:
        return {"text": _text(value, name), "reasoning": None, "tool_calls": None}
    calls = read_tool_calls(tool_calls, str(name)) if tool_calls is not None else []
    if value is None and not calls:
        return None
    if isinstance(value, str | None):
        found = Answer(_text(value, name) or "")
    elif isinstance(value, list) or (isinstance(value, dict) and {"role", "from"} & value.keys()):
        found = read_response(value, str(name))
    else:
        raise ValueError(f"{name} is {_kind(value)}, expected a text")
    thought = _text(reasoning, f"{name}: reasoning") or found.reasoning
    made = found._replace(reasoning=thought, tool_calls=canonical(calls) if calls else found.tool_calls)
    if made.reasoning and not made.text.strip() and not made.tool_calls:
        raise ValueError(f"{name} has reasoning only, and no answer")
    return made._asdict()


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
    if value.isascii():
        return value
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
