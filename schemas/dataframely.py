"""dataframely, imported as where sqlalchemy is not installed: no table here goes into an SQL data base, and that import
alone would take every command a third of a second."""

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

__all__ = ["SchemaError", "ValidationError", "dy"]
