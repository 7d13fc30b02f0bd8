"""Plug-ins: kinds that other packages and single files add to a family.

A package names a module, or a class, by an entry point of the family's group, such as `pairwright.judges`. A single
file is named by the environment variable PAIRWRIGHT_PLUGINS, never by a recipe: recipes are passed around, and reading
one must not run what its writer chose.
"""

import functools
import importlib.util
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from pairwright.schemas.errors import RecipeError
from pairwright.schemas.ids import digest

VARIABLE = "PAIRWRIGHT_PLUGINS"
"""Paths of Python files, separated as in PATH."""
MODULES = "pairwright_plugins"
"""What the modules of single files are called in `sys.modules`, a dot and the file's stem behind it."""

Origin = tuple[str, str]
"""Whence a kind comes: distribution and version, or a file's name and the hash of its content."""

_installed = functools.cache(entry_points)
"""All entry points of this environment: it takes long to find them, and each group's are a few."""


def entry_points_of(group: str) -> list[tuple[str, Origin, Callable[[], object]]]:
    """What installed packages add to a group: a name for errors, the origin, and what loads it, in order of names."""
    found = sorted(_installed().select(group=group), key=lambda one: (one.dist.name if one.dist else "", one.name))
    return [(f"{_package(one)} ({one.value})", (_package(one), _version(one)), one.load) for one in found]


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "unknown"


def _version(point: EntryPoint) -> str:
    return point.dist.version if point.dist else ""


def files() -> list[tuple[str, Origin, Callable[[], object]]]:
    """What the environment variable names, likewise. Raises RecipeError for a path that is no Python file."""
    found: list[tuple[str, Origin, Callable[[], object]]] = []
    for name in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        path = Path(name).expanduser().resolve()
        if path.suffix != ".py" or not path.is_file():
            raise RecipeError(f"{VARIABLE} names {name!r}, which is no Python file; name files, {os.pathsep!r} between")
        origin = (path.name, digest(path.read_bytes(), size=8))
        found.append((str(path), origin, lambda path=path: _import(path)))  # type: ignore[misc]
    return found


def _import(path: Path) -> ModuleType:
    name = f"{MODULES}.{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
