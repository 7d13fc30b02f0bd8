"""dataframely, imported as where sqlalchemy is not installed: no table here goes into an SQL data base, and that import
alone would take every command a third of a second."""

import copy
import functools
import sys

_DIALECTS = "sqlalchemy"
_hidden = _DIALECTS not in sys.modules
if _hidden:
    sys.modules[_DIALECTS] = None  # type: ignore[assignment] # an import of it fails, and dataframely does without
try:
    import dataframely as dy  # noqa: TID251
    from dataframely.exc import SchemaError, ValidationError  # noqa: TID251
finally:
    if _hidden:
        del sys.modules[_DIALECTS]

__all__ = ["SchemaError", "ValidationError", "dy", "without_key"]


@functools.cache
def without_key(schema: type[dy.Schema]) -> type[dy.Schema]:
    """The schema with all its rules but that no two rows share a key, which costs more than all others together."""
    plain = {name: copy.copy(schema.columns()[name]) for name in schema.primary_key()}
    for column in plain.values():
        column.primary_key = False
    return type(schema.__name__, (schema,), plain)
