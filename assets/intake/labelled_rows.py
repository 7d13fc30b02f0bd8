"""Records of a shape to records of one form: a prompt and its responses, with what was said of them beside.

What a record says of its prompt besides stays as it is, and is read like that of any other source (`conform_rows`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pairwright.assets.intake.label_values import Verdict, is_tie, number_of, verdict_of
from pairwright.assets.intake.shapes import LABEL, Shape
from pairwright.assets.intake.turns import Sides, response_of, sides_of, turns_of
from pairwright.schemas.errors import short

PROMPT, RESPONSES, POLICIES = "prompt", "responses", "policies"
"""What the one form calls its columns."""
RANK = "rank"
"""The name of the score that ranks are kept as: the negative rank, so that more is better."""
TEXTS = ("response", "completion", "text", "answer", "output")
WRITERS = ("model", "policy", "generator")


class Vote(NamedTuple):
    """What an annotator says of two of a row's responses, by their places."""

    annotator: str
    first: int
    second: int
    won: float | None
    failure: str | None


class Given(NamedTuple):
    """A score that a row gives one of its responses."""

    place: int
    name: str
    value: float | None
    failure: str | None


class Labelled(NamedTuple):
    """A record of one form, and what it says of its responses."""

    record: dict[str, Any]
    votes: list[Vote]
    scores: list[Given]


def labelled(record: Mapping[str, Any], shape: Shape, where: str = "") -> Labelled:
    """Read a record.

    Raises ValueError saying why it is none of that shape, SourceError for labels that nobody can tell the meaning of.
    """
    if shape.sides:
        return _pair(record, shape, shape.sides, where)
    if shape.completions:
        return _completions(record, shape, shape.completions)
    if shape.conversation:
        return _conversation(record, shape, shape.conversation)
    if shape.response:
        text = response_of(record.get(shape.response), shape.response)
        writer = record.get(shape.policy) if shape.policy else None
        values = {name: [record.get(column) for column in columns] for name, columns in shape.scores.items()}
        return _listed(record, shape, [text], [writer], values, [record.get(shape.ranks)] if shape.ranks else None)
    return _responses(record, shape)


def _conversation(record: Mapping[str, Any], shape: Shape, column: str) -> Labelled:
    """What comes before the last turn, and that."""
    if record.get(column) is None:
        raise ValueError(f"{column} is missing")
    turns = turns_of(record[column], column)
    if turns is None:
        raise ValueError(f"{column} is a text, expected a list of messages")
    if not turns or turns[-1]["role"] != "assistant":
        last = f"the {turns[-1]['role']}'s turn" if turns else "no turn"
        raise ValueError(f"{column} ends with {last}, expected the assistant's")
    values = {name: [record.get(columns[0])] for name, columns in shape.scores.items()}
    answer = response_of(turns[-1:], column)
    writer = record.get(shape.policy) if shape.policy else None
    found = _listed({**record, column: turns[:-1]}, shape._replace(prompt=column), [answer], [writer], values, None)
    return found._replace(record={name: one for name, one in found.record.items() if name != column})


def _pair(record: Mapping[str, Any], shape: Shape, sides: tuple[str, str], where: str) -> Labelled:
    prompt = record.get(shape.prompt) if shape.prompt else None
    if shape.prompt and prompt is None and shape.prompt in record:
        raise ValueError(f"{shape.prompt} is missing")
    first, second = (record.get(name) for name in sides)
    found: Sides = sides_of(prompt, first, second, (shape.prompt or PROMPT, *sides))
    if found.first == found.second:
        raise ValueError("both responses are the same text")
    writers = [record.get(name) for name in shape.writers] if shape.writers else [None, None]
    form = _form(record, shape, found.prompt, [found.first, found.second], writers)
    scores = [
        one
        for name, columns in shape.scores.items()
        for one in _values(name, _of_columns(record, columns, 2), columns, 2)
    ]
    return Labelled(form, _votes(record, shape, where), scores)


def _votes(record: Mapping[str, Any], shape: Shape, where: str) -> list[Vote]:
    """One vote; of lists of labels, one each."""
    who = record.get(shape.annotator) if shape.annotator else None
    if shape.chosen:
        return [Vote(_name(who), 0, 1, 1.0, None)]
    if not shape.label:
        return []
    value = record.get(shape.label)
    if not isinstance(value, list):
        verdict = _verdict(value, record, shape, where)
        return [Vote(_name(who), 0, 1, *verdict)] if verdict else []
    names = who if isinstance(who, list) else [f"{_name(who)}-{number}" for number in range(1, len(value) + 1)]
    if len(names) != len(value):
        raise ValueError(f"{len(value)} {shape.label} but {len(names)} {shape.annotator}")
    told = [(name, _verdict(one, record, shape, where)) for name, one in zip(names, value, strict=True)]
    return [Vote(_name(name), 0, 1, *verdict) for name, verdict in told if verdict]


def _verdict(value: Any, record: Mapping[str, Any], shape: Shape, where: str) -> Verdict | None:
    """None where nobody has said anything."""
    if shape.tie and is_tie(record.get(shape.tie), shape.tie):
        return Verdict(0.5)
    return None if value is None or value == "" else verdict_of(value, str(shape.label), shape.labels, where)


def _name(annotator: Any) -> str:
    return LABEL if annotator is None or annotator == "" else str(annotator)


def _completions(record: Mapping[str, Any], shape: Shape, column: str) -> Labelled:
    value = record.get(column)
    if not isinstance(value, list):
        raise ValueError(f"{column} is {short(value)}, expected a list of responses")
    texts, writers = list[Any](), list[Any]()
    for number, one in enumerate(value, start=1):
        if not isinstance(one, Mapping):
            one = {TEXTS[0]: one}
        field = next((name for name in TEXTS if one.get(name) is not None), TEXTS[0])
        texts.append(response_of(one.get(field), f"{column}: {field} {number}"))
        writers.append(next((one[name] for name in WRITERS if one.get(name) is not None), None))

    def of(field: str) -> list[Any]:
        return [one.get(field) if isinstance(one, Mapping) else None for one in value]

    scores = {name: of(fields[0]) for name, fields in (shape.scores or _fields(value)).items()}
    return _listed(record, shape, texts, writers, scores, of(shape.ranks or RANK))


def _fields(completions: Sequence[Any]) -> dict[str, tuple[str, ...]]:
    """The scores that completions have where nobody names them: their overall score."""
    names = {name for one in completions if isinstance(one, Mapping) for name in one}
    known = next((name for name in ("overall_score", "score", "reward", "rating") if name in names), None)
    return {known: (known,)} if known else {}


def _responses(record: Mapping[str, Any], shape: Shape) -> Labelled:
    names = shape.responses
    if len(names) == 1:
        values = record.get(names[0])
        if not isinstance(values, list):
            raise ValueError(f"{names[0]} is {short(values)}, expected a list of responses")
    else:
        values = [record.get(name) for name in names]
    texts = [response_of(value, f"{names[0]} {n}") for n, value in enumerate(values, start=1)]
    writers: list[Any] = list(names) if len(names) > 1 else [None] * len(texts)
    if shape.policies and record.get(shape.policies) is not None:
        writers = record[shape.policies]
    scores = {name: _of_columns(record, columns, len(texts)) for name, columns in shape.scores.items()}
    return _listed(record, shape, texts, writers, scores, record.get(shape.ranks) if shape.ranks else None)


def _of_columns(record: Mapping[str, Any], columns: Sequence[str], count: int) -> list[Any]:
    """Values beside the responses: of one column with a list, or of one column each."""
    if len(columns) > 1:
        return [record.get(name) for name in columns]
    value = record.get(columns[0])
    return [None] * count if value is None else value


def _listed(
    record: Mapping[str, Any],
    shape: Shape,
    texts: list[Any],
    writers: Any,
    values: Mapping[str, Any],
    ranks: Any,
) -> Labelled:
    prompt = record.get(shape.prompt) if shape.prompt else None
    if prompt is not None and (turns := turns_of(prompt, str(shape.prompt))) is not None:
        prompt = turns
    columns = {name: shape.scores.get(name, (name,)) for name in values}
    scores = [one for name, of in values.items() for one in _values(name, of, columns[name], len(texts))]
    if ranks is not None:
        scores += [
            one._replace(value=None if one.value is None else 0.0 - one.value)
            for one in _values(RANK, ranks, [shape.ranks or RANK], len(texts))
        ]
    return Labelled(_form(record, shape, prompt, texts, writers), [], scores)


def _values(name: str, values: Any, columns: Sequence[str], count: int) -> list[Given]:
    """Numbers beside `count` responses. Raises ValueError where they are another number of them."""
    if not isinstance(values, list) or len(values) != count:
        had = len(values) if isinstance(values, list) else short(values)
        raise ValueError(f"{', '.join(columns)}: {had} for {count} responses; one each is needed")
    read = [number_of(value, columns[place] if len(columns) > 1 else columns[0]) for place, value in enumerate(values)]
    return [Given(place, name, *one) for place, one in enumerate(read) if one.value is not None or one.failure]


def _form(record: Mapping[str, Any], shape: Shape, prompt: Any, texts: list[Any], writers: Any) -> dict[str, Any]:
    read = {*shape.columns(), PROMPT, RESPONSES, POLICIES}
    rest = {name: value for name, value in record.items() if name not in read}
    if isinstance(writers, list):
        writers = [", ".join(map(str, one)) if isinstance(one, list) else one for one in writers]
    return {**rest, PROMPT: prompt, RESPONSES: texts, POLICIES: writers}
