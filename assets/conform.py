"""From a source's columns to ours: every row becomes a conversation with its attributes and responses, or a reject.

Typed columns go through expressions; everything else row by row, with the same rules.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from pairwright.assets.readers import Records
from pairwright.assets.text import SPACES
from pairwright.schemas.errors import SourceError
from pairwright.schemas.recipe import ColumnMap
from pairwright.schemas.tables import MESSAGES, STEPS

ROLES = ("system", "developer", "user", "assistant", "tool")
LAST_ROLES = ("user", "tool")
TEXTS = ("tests", "source", "license", "domain", "split")
ANSWERS = pl.List(pl.Struct({"policy": pl.String, "text": pl.String, "steps": STEPS}))
_RAW: dict[str, Any] = {
    "row": pl.UInt64,
    "bad": pl.String,
    "excerpt": pl.String,
    "messages": MESSAGES,
    "references": pl.List(pl.String),
    "tags": pl.List(pl.String),
    **dict.fromkeys(TEXTS, pl.String),
    "answers": ANSWERS,
}
RAW = pl.Schema(_RAW)
"""What a source's row becomes: either `bad` says why it is a reject, or the rest holds."""


class Columns(NamedTuple):
    """The source's column for each of ours, settled against what the source has."""

    prompt: str
    system: str | None
    references: list[str]
    tags: list[str]
    texts: dict[str, str]
    response: str | None
    responses: list[str]
    policy: str | None
    policies: str | list[str] | None
    steps: str | None
    step_labels: str | None


NO_COLUMNS = Columns("", None, [], [], {}, None, [], None, None, None, None)
"""Before any record with named fields was seen."""


def settle(columns: ColumnMap, found: Sequence[str], label: str) -> Columns:
    """Match the recipe's column map against a source's columns.

    Raises SourceError for a named column that is not there, saying which are.
    """

    def named(field: str, default: str | None = None) -> list[str]:
        value = getattr(columns, field)
        if value is None:
            return [default] if default and default in found else []
        wanted = [value] if isinstance(value, str) else list(value)
        for name in wanted:
            if name not in found:
                raise SourceError(f"{label}: columns.{field} names {name!r}; the source has {', '.join(found)}")
        return wanted

    prompt = named("prompt", "prompt") or named("prompt", "messages")
    if not prompt:
        raise SourceError(f"{label}: no column 'prompt' or 'messages'; name one in `columns`: {', '.join(found)}")
    policies = columns.policies
    if isinstance(policies, str) or policies is None:
        policies = next(iter(named("policies", "policies")), None)
    responses = named("responses", "responses")
    if isinstance(policies, list) and len(responses) > 1 and len(policies) != len(responses):
        raise SourceError(f"{label}: {len(policies)} policies for {len(responses)} response columns; name one each")
    steps, labels = named("steps", "steps"), named("step_labels", "step_labels")
    if not (steps and labels and len(responses) < 2):
        if columns.steps or columns.step_labels:
            raise SourceError(
                f"{label}: columns.steps and columns.step_labels go together, with one column of responses or none"
            )
        steps, labels = [], []
    return Columns(
        prompt[0],
        next(iter(named("system")), None),
        named("references", "references"),
        named("tags", "tags"),
        {field: name[0] for field in TEXTS if (name := named(field, field))},
        next(iter(named("response", "response")), None),
        responses,
        next(iter(named("policy", "policy")), None),
        policies,
        next(iter(steps), None),
        next(iter(labels), None),
    )


def column_names(records: Records) -> list[str]:
    """The columns that a batch of records has."""
    if records.frame is not None:
        return [name for name in records.frame.columns if name != "_row"]
    names: dict[str, None] = {}
    for _, record, _ in records.objects:
        if isinstance(record, dict):
            names.update(dict.fromkeys(record))
    return list(names)


def conform(records: Records, columns: Columns) -> pl.DataFrame:
    """The records as a frame of type RAW."""
    if records.frame is None:
        return _by_row(records.objects, columns)
    frame = records.frame
    if _typed(frame, columns):
        return _by_column(frame, columns)
    frame = frame.select("_row", *_used(columns, frame.columns))
    objects = [(record.pop("_row"), record, None) for record in frame.to_dicts()]
    return _by_row(objects, columns)


def _used(columns: Columns, there: Sequence[str]) -> list[str]:
    """The source's columns that something of ours is taken from."""
    used = {name for value in columns for name in ([value] if isinstance(value, str) else value or [])}
    used |= set(columns.texts.values())
    return [name for name in there if name in used]


def _typed(frame: pl.DataFrame, columns: Columns) -> bool:
    """Whether every column is of a type that expressions can take over as it is."""
    schema = frame.schema
    text, texts = {pl.String(), pl.Null()}, {pl.String(), pl.Null(), pl.List(pl.String), pl.List(pl.Null)}
    singles = [columns.system, columns.response, columns.policy, *columns.texts.values()]
    many = [*columns.references, *columns.tags]
    return (
        schema[columns.prompt] == pl.String
        and all(schema[name] in text for name in singles if name)
        and all(schema[name] in texts for name in many)
        and all(schema[name] in (texts if len(columns.responses) == 1 else text) for name in columns.responses)
        # two lists to zip: row by row
        and not columns.steps
        and not (isinstance(columns.policies, str) or (columns.policies and len(columns.responses) == 1))
    )


def _by_column(frame: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    prompt = pl.col(columns.prompt)
    turn = pl.struct(role=pl.lit("user"), content=prompt)
    messages = pl.concat_list(turn)
    if columns.system:
        with_system = pl.concat_list(pl.struct(role=pl.lit("system"), content=pl.col(columns.system)), turn)
        messages = pl.when(_says_something(pl.col(columns.system))).then(with_system).otherwise(messages)
    answers, bad_answers = _answers_by_column(frame, columns)
    bad = pl.coalesce(
        pl.when(prompt.is_null()).then(pl.lit(f"{columns.prompt} is missing")),
        pl.when(~_says_something(prompt)).then(pl.lit(f"{columns.prompt} is empty")),
        bad_answers,
    )
    return frame.select(
        row="_row",
        bad=bad,
        excerpt=prompt.str.slice(0, 200).fill_null(""),
        messages=messages,
        references=_texts_by_column(frame, columns.references),
        tags=_texts_by_column(frame, columns.tags),
        **{field: _text_by_column(columns.texts.get(field)) for field in TEXTS},
        answers=answers,
    ).cast(RAW)


def _says_something(text: pl.Expr) -> pl.Expr:
    return text.cast(pl.String).str.strip_chars(SPACES) != ""


def _text_by_column(name: str | None) -> pl.Expr:
    return pl.when(_says_something(pl.col(name))).then(pl.col(name)) if name else pl.lit(None)


def _texts_by_column(frame: pl.DataFrame, names: list[str]) -> pl.Expr:
    """The non-empty texts of several columns, each a text or a list of texts."""
    if not names:
        return pl.lit([], pl.List(pl.String))
    lists = [
        (pl.col(name) if isinstance(frame.schema[name], pl.List) else pl.concat_list(name))
        .cast(pl.List(pl.String))
        .fill_null([])
        for name in names
    ]
    return pl.concat_list(lists).list.eval(pl.element().filter(_says_something(pl.element())))


def _answers_by_column(frame: pl.DataFrame, columns: Columns) -> tuple[pl.Expr, pl.Expr]:
    none, fine = pl.lit([], ANSWERS), pl.lit(None, pl.String)
    if columns.response:
        named = pl.col(columns.policy).cast(pl.String) if columns.policy else pl.lit(None, pl.String)
        policy = pl.when(named != "").then(named).otherwise(pl.lit("unknown"))
        answer = pl.concat_list(_answer(policy, pl.col(columns.response)))
        missing = pl.when(pl.col(columns.response).is_null()).then(pl.lit(f"{columns.response} is missing"))
        return answer, missing
    if not columns.responses:
        return none, fine
    if len(columns.responses) > 1:
        names = columns.policies if isinstance(columns.policies, list) else columns.responses
        answers = pl.concat_list(
            [_answer(pl.lit(policy), pl.col(name)) for policy, name in zip(names, columns.responses, strict=True)]
        )
        return answers.list.eval(pl.element().filter(pl.element().struct.field("text").is_not_null())), fine
    only = pl.col(columns.responses[0])
    texts = only if isinstance(frame.schema[columns.responses[0]], pl.List) else pl.concat_list(only)
    texts = texts.cast(pl.List(pl.String)).fill_null([])
    answers = texts.list.eval(_answer(pl.lit("unknown"), pl.element()))
    return answers.list.eval(pl.element().filter(pl.element().struct.field("text").is_not_null())), fine


def _answer(policy: pl.Expr, text: pl.Expr) -> pl.Expr:
    return pl.struct(policy=policy, text=text, steps=pl.lit(None, STEPS))


def _by_row(objects: Sequence[tuple[int, Any, str | None]], columns: Columns) -> pl.DataFrame:
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
        if not _text(value, name):
            raise ValueError(f"{name} is empty")
        if not value.strip():
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
