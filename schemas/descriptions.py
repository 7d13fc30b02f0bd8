"""What options say of themselves: the docstrings below the fields, read from the source when somebody asks.

Pydantic can do it as the classes are made, which would take every command a quarter of a second.
"""

import ast
import functools
import inspect
import textwrap
from itertools import pairwise
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue


def described(model: type[BaseModel]) -> dict[str, str]:
    """Option → its description, of a model and those it derives from; options without one are left out."""
    told: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls is not BaseModel:
            own = inspect.get_annotations(cls)
            told = {name: text for name, text in told.items() if name not in own} | _docstrings(cls)
    return {name: told[name] for name in model.model_fields if name in told}


@functools.cache
def _docstrings(cls: type) -> dict[str, str]:
    """Annotated name → the docstring below it, in the class's own body; nothing for a class without a source file."""
    try:
        [definition] = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return {}
    assert isinstance(definition, ast.ClassDef)
    return {
        above.target.id: inspect.cleandoc(below.value.value)
        for above, below in pairwise(definition.body)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and isinstance(below.value.value, str)
    }


class DescribedSchema(GenerateJsonSchema):
    """A JSON Schema with the description of every option."""

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        """Of one model, its options described."""
        made = super().model_schema(schema)
        for name, text in described(schema["cls"]).items():
            if name in made.get("properties", {}):
                made["properties"][name].setdefault("description", text)
        return made
