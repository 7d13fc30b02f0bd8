"""Where Dagster keeps its history: beside the data, unless DAGSTER_HOME says otherwise."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from sqlalchemy.exc import DatabaseError

from pairwright.assets.store import replacing
from pairwright.schemas.errors import StoreError

SETTINGS: dict[str, Any] = {
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "run_monitoring": {"enabled": True},
    "run_retries": {"enabled": True, "max_retries": 0, "retry_on_asset_or_op_failure": False},
    "retention": {
        "schedule": {"purge_after_days": 90},
        "sensor": {"purge_after_days": {"skipped": 7, "failure": 30, "success": 90}},
    },
}
"""Of the instance, as in dagster.yaml at the root of the project, which adds where to store."""


def use_home(data: Path) -> Path:
    """Set DAGSTER_HOME to `<data>/.dagster` unless it is set, write its dagster.yaml if there is none, return it."""
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given) if given else (data / ".dagster").resolve()
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    ours = home.resolve() == (data / ".dagster").resolve()
    if not settings.exists() or (ours and not _holds_settings(settings)):
        with replacing(settings) as temporary:
            temporary.write_text(yaml.safe_dump(SETTINGS, sort_keys=False), encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return home


def _holds_settings(path: Path) -> bool:
    try:
        return isinstance(yaml.safe_load(path.read_bytes()), dict)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return False


@contextmanager
def history() -> Iterator[dg.DagsterInstance]:
    """Dagster's instance in DAGSTER_HOME. Raises StoreError naming the folder where it is damaged."""
    try:
        with _opened() as instance:
            yield instance
    except DatabaseError as error:
        raise _unusable(error) from error


def _opened() -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.get()
    except (dg.DagsterError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unusable(error) from error


def _unusable(error: Exception) -> StoreError:
    reason = " ".join(str(error).split())[:200]
    return StoreError(
        f"Dagster's settings or history in {os.environ['DAGSTER_HOME']} cannot be used ({type(error).__name__}: "
        f"{reason}); move the folder away and build again: it holds the history of runs and no data"
    )
