"""What a name that a recipe gives to a model stands for."""

from collections.abc import Iterable
from typing import Any

CONTEXT = "models"
"""Where the context of a recipe's validation has the named models, as they are written."""


def with_named(data: Any, key: str, fields: Iterable[str], context: Any) -> Any:
    """Options whose `key` names a model of the recipe, with that model's options below them; else the same."""
    models = context.get(CONTEXT) if isinstance(context, dict) else None
    name = data.get(key) if isinstance(data, dict) else None
    entry = models.get(name) if models and isinstance(name, str) else None
    if entry is None:
        return data
    given = {option: value for option, value in entry.items() if option in fields}
    return {**given, **data, key: entry["model"]}
