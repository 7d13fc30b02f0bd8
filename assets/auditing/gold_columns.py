"""Which columns of gold hold what: named by whoever asks, or recognised."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pairwright.assets.intake.records import Part
from pairwright.assets.intake.shapes import Shape, recognised
from pairwright.schemas.errors import SourceError, one_line, short

SHAPES = (
    "gold wants a prompt and either two responses with a label (response_a, response_b, human_label), chosen and "
    "rejected, or responses with scores or ranks; name the columns by --column, as in --column label=winner"
)
_BESIDE = ("references", "domain", "system", "tools")
_SIDES = ("response_a", "response_b", "chosen", "rejected")
_SINGLE = ("prompt", "label", "annotator", "tie", "response", "completions", "policy", "policies", "ranks")


class Choice(NamedTuple):
    """What somebody says of gold's columns."""

    columns: Mapping[str, Any] = {}
    """Fields of a shape, and those of KEPT, by name."""
    by: str | None = None
    """Column to group by."""


def shape_of(part: Part, choice: Choice) -> Shape:
    """What a part of gold holds. Raises SourceError for a named column that is not there, and for no shape at all."""
    told = {name: value for name, value in choice.columns.items() if name in Shape._fields}
    for name in named_in(choice):
        if name not in part.names and not told.get("completions"):
            raise SourceError(f"{part.label}: no column {name!r}; it has {one_line(', '.join(part.names))}")
    shape = recognised(part.names, told)
    if shape is None or not (shape.compares or shape.scores or shape.ranks or shape.completions):
        label = _lacking(part.names)
        raise SourceError(f"{part.label}: {label}it has {one_line(', '.join(part.names))}; {SHAPES}")
    return shape


def _lacking(names: Sequence[str]) -> str:
    """What the usual form of gold would still want, where most of it is there."""
    usual = ("prompt", "response_a", "response_b", "human_label")
    missing = [name for name in usual if name not in names]
    return f"no column {missing[0]!r}; " if len(missing) == 1 else ""


def named_in(choice: Choice) -> list[str]:
    """The columns of gold that somebody named."""
    names: list[str] = []
    for field, value in choice.columns.items():
        if field == "scores":
            names += [name for one in value.values() for name in one]
        elif field not in ("labels", "chosen"):
            names += [value] if isinstance(value, str) else list(value or ())
    return names


def kept_of(part: Part, choice: Choice) -> dict[str, str]:
    """Columns that gold may have besides: ours → theirs."""
    usual = {name: name for name in ("references", "domain") if name in part.names}
    return usual | {name: str(column) for name, column in choice.columns.items() if name not in Shape._fields}


def columns_from(words: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """The choice of columns from words like `label=winner`, `scores.rm=reward` and labels like `better=a`.

    Raises SourceError for words of another form and for names that mean nothing.
    """
    told: dict[str, Any] = {}
    for field, name in _split(words, "--column", "label=winner"):
        if field.startswith("scores."):
            told.setdefault("scores", {})[field.removeprefix("scores.")] = tuple(name.split(","))
        elif field in _SIDES:
            told.setdefault("_sides", {})[field] = name
        elif field == "responses":
            told[field] = tuple(name.split(","))
        elif field in (*_SINGLE, *_BESIDE):
            told[field] = name
        else:
            allowed = ", ".join((*_SINGLE, *_SIDES, "responses", "scores.NAME", *_BESIDE))
            raise SourceError(f"--column {field}={name}: {short(field)} is no column of gold; allowed: {allowed}")
    for value, meaning in _split(labels, "--label", "better=a"):
        if meaning not in ("a", "b", "tie"):
            raise SourceError(f"--label {value}={meaning}: a label means a, b or tie")
        told.setdefault("labels", {})[value] = meaning
    sides = told.pop("_sides", {})
    for pair in (_SIDES[:2], _SIDES[2:]):
        if sides.keys() & set(pair):
            told["sides"] = tuple(sides.get(name, name) for name in pair)
            told["chosen"] = pair[0] == "chosen"
    return told


def _split(words: Sequence[str], option: str, example: str) -> Iterator[tuple[str, str]]:
    for word in words:
        left, equals, right = word.partition("=")
        if not (left and equals and right):
            raise SourceError(f"{option} {word}: write it as in {option} {example}")
        yield left, right
