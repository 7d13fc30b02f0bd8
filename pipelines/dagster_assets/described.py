"""What the UI says of an asset before it is made: in words what makes it, and the columns of its table."""

import ast
import functools
import inspect
import itertools
import json
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from pairwright.assets.stages.stage import Stage
from pairwright.schemas.dataframely import dy

LONGEST = 200
"""Characters of an option that are shown."""


def description(stage: Stage) -> str:
    """Markdown: what the table holds, the docstring of the part of the recipe that makes it, and its options.

    Of the options those that the recipe sets otherwise than by default.
    """
    part = stage.made_by
    if part is None:
        return stage.doc
    told = part.model_dump(mode="json", exclude_defaults=True, exclude={"kind", "name"})
    lines = [f"- `{name}`: `{_shown(value)}`" for name, value in told.items()]
    return "\n\n".join(filter(None, [stage.doc, inspect.getdoc(type(part)), "\n".join(lines)]))


def _shown(value: object) -> str:
    text = " ".join(json.dumps(value, ensure_ascii=False).replace("`", "'").split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def column_schema(schema: type[dy.Schema], extra: Mapping[str, Any]) -> dg.TableSchema:
    """The columns that every such table has, with their polars types and the docstrings behind them, and `extra` ones,
    named by the recipe."""
    docs = column_docs(schema)
    own = [
        dg.TableColumn(
            name, str(column.dtype), docs.get(name), constraints=dg.TableColumnConstraints(nullable=column.nullable)
        )
        for name, column in schema.columns().items()
    ]
    return dg.TableSchema(columns=[*own, *(dg.TableColumn(name, str(dtype)) for name, dtype in extra.items())])


@functools.cache
def column_docs(schema: type[dy.Schema]) -> dict[str, str]:
    """Column → the docstring that stands behind it in its table's source, or in that of the table it extends."""
    found: dict[str, str] = {}
    for one in reversed(schema.__mro__):
        if not issubclass(one, dy.Schema) or one is dy.Schema:
            continue
        [declared] = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        assert isinstance(declared, ast.ClassDef)
        for column, behind in itertools.pairwise(declared.body):
            if isinstance(column, ast.Assign) and isinstance(behind, ast.Expr):
                [name], doc = column.targets, behind.value
                if isinstance(name, ast.Name) and isinstance(doc, ast.Constant) and isinstance(doc.value, str):
                    found[name.id] = " ".join(doc.value.split())
    return found


def code_of(stage: Stage) -> dg.CodeReferencesMetadataValue:
    """Where the code stands: of the part of the recipe that makes the table, and of its stage's making, if any."""
    made = getattr(stage, "make", None) or getattr(stage, "answer", None)
    while isinstance(made, functools.partial):
        made = made.func
    return code_references(*(one for one in (type(stage.made_by) if stage.made_by else None, made) if one is not None))


def code_references(*code: Callable[..., Any]) -> dg.CodeReferencesMetadataValue:
    """Links to classes and functions, called by their files."""
    return dg.CodeReferencesMetadataValue(code_references=[_place(one) for one in code])


def _place(code: Callable[..., Any]) -> dg.LocalFileCodeReference:
    file, (_, line) = str(inspect.getsourcefile(code)), inspect.getsourcelines(code)
    return dg.LocalFileCodeReference(file_path=file, line_number=line, label=Path(file).name)
