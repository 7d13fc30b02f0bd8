"""The recipe reference, made from the models: `python -m pairwright.pipelines.reference` prints docs/recipe.md."""

import re
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from pairwright.assets.publishing.export import format_named
from pairwright.assets.publishing.formats.base import Format
from pairwright.schemas.descriptions import described
from pairwright.schemas.families import FAMILIES
from pairwright.schemas.kinds import Member, OneOf, kinds
from pairwright.schemas.options import Part
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.served import ServedModel

SHARED = "And the options of [a model behind a server](#models), from `revision` to `poll`, as they stand there."
TITLES = {"strategy": "Pair strategies", "column": "Pair columns", "format": "Export formats"}
INTRO = """# The recipe

One YAML file says what to build. Unknown keys, keys given twice and names that do not exist are errors, which name
the key, the value, what is allowed and the nearest match. `pairwright init DIR` writes a recipe to start from, with a
JSON Schema beside it for completion in editors.

A model that several parts use is named once, under [`models`](#models). What else they have in common can be, too:
`judges: [&one {kind: llm-rating, model: m}, {<<: *one, name: two}]`.
A key of the mapping's own wins over one that `<<` merges in. What looks like a date is a text.

This page is made from the models by `python -m pairwright.pipelines.reference`; a test checks that it is current.
"""


def reference() -> str:
    """Markdown: a table of options for each block of the recipe, and for each kind of each family."""
    parts, shown = [INTRO], set[type[BaseModel]]()
    for title, model in _blocks("Keys", Recipe):
        shown.add(model)
        parts.append(f"## {title}\n\n{_prose(model)}\n\n{_table(model)}")
    for family, (plural, folder, place, key, usual) in FAMILIES.items():
        named = "`name` is what columns, plots and messages call it; by default its kind."
        alone = f"One of them stands at `{'.'.join(place)}`, told by its `{key}`: `{usual}` where that is left out."
        parts.append(f"## {TITLES.get(family, plural.capitalize())}\n\n{alone if usual else named}")
        for kind, cls in kinds(family).items():
            if cls.__module__.startswith(folder):  # and not one that a test has added
                also = _shared(cls)
                table = _table(cls, without=(key, "name", *also))
                parts.append(f"### `{kind}`\n\n{_prose(cls)}\n\n{table}\n\n{SHARED if also else ''}".rstrip())
                for _, model in [*_blocks("", cls, frozenset(shown))][1:]:
                    shown.add(model)
                    parts.append(f"#### {_words(model).capitalize()}\n\n{_prose(model)}\n\n{_table(model)}")
                if issubclass(cls, Format):
                    parts.append(f"Not in this format: {'; '.join(format_named(kind).loses())}.")
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _shared(cls: type[BaseModel]) -> list[str]:
    """The options that a kind has in common with every model behind a server."""
    if not issubclass(cls, ServedModel):
        return []
    told, usual = described(cls), described(ServedModel)
    return [
        name
        for name, field in ServedModel.model_fields.items()
        if name != "model" and told.get(name) == usual.get(name) and cls.model_fields[name].default == field.default
    ]


def _blocks(
    title: str, model: type[BaseModel], seen: frozenset[type] = frozenset()
) -> Iterator[tuple[str, type[BaseModel]]]:
    """A model and those nested in it, outermost first, each once."""
    yield title, model
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            if inner not in seen and not issubclass(inner, Member):
                seen |= {inner}
                yield from _blocks(f"`{name}`", inner, seen)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _prose(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _table(model: type[BaseModel], without: tuple[str, ...] = ()) -> str:
    told = described(model)
    rows = [
        f"| `{name}` | {_type(field.annotation, field)} | {_default(field)} | {_cell(told.get(name, ''))} |"
        for name, field in model.model_fields.items()
        if name not in without
    ]
    return "\n".join(["| key | type | default | |", "|---|---|---|---|", *rows]) if rows else "No options."


def _type(annotation: Any, field: FieldInfo | None = None) -> str:
    """A type in words, with the bounds that its field sets."""
    family = next((one.family for one in getattr(field, "metadata", []) if isinstance(one, OneOf)), None)
    if family:
        return f"a {family}"
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        family = next((one.family for one in inner if isinstance(one, OneOf)), None)
        return f"a {family}" if family else _type(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(part) for part in inner if part is not types.NoneType)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}" if inner else "list"
    if origin is dict:
        return f"mapping of {_type(inner[0])} to {_type(inner[1])}"
    words = {str: "text", int: "integer", float: "number", bool: "`true`, `false`"}
    name = _words(annotation) if isinstance(annotation, type) else _cell(str(annotation))
    return words.get(annotation, name) + (_bounds(field) if field else "")


def _words(cls: type) -> str:
    """What a class of options is called: a causal model; a block where its key says it all."""
    return "block" if issubclass(cls, Part) else re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()


def _bounds(field: FieldInfo) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    found = [
        f"{sign} {getattr(one, key):g}" for one in field.metadata for key, sign in signs.items() if hasattr(one, key)
    ]
    return " " + ", ".join(found) if found else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.default
    if isinstance(value, BaseModel) or value is PydanticUndefined:
        return ""
    return (
        ""
        if value is None or value in ([], {}, "", ())
        else f"`{str(value).lower() if isinstance(value, bool) else value}`"
    )


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


if __name__ == "__main__":
    print(reference(), end="")
