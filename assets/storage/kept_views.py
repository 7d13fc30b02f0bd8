"""Views that are kept: what people see of a table, made anew only when its rows or this program changed."""

from collections.abc import Callable, Sequence
from typing import Any

from pairwright import __version__
from pairwright.assets.storage.integrity import kept_record
from pairwright.assets.storage.store import Workspace, write_record
from pairwright.schemas.ids import fingerprint


def kept_view(
    workspace: Workspace, name: str, made_from: Sequence[str], make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """A JSON-like record of what an asset shows, made anew only when its rows or this program changed."""
    path = workspace.root / "views" / f"{name.replace('/', '-')}.json"
    version = fingerprint([__version__, *made_from])
    stored = kept_record(path)
    if stored and stored.get("version") == version and isinstance(stored.get("view"), dict):
        return dict(stored["view"])
    view = make()
    write_record(path, {"version": version, "view": view})
    return view
