"""Where Dagster keeps its history: beside the data, unless DAGSTER_HOME says otherwise."""

import os
from pathlib import Path
from typing import Any

import yaml

from pairwright.schemas.files import locked, replacing

PATIENCE = 120.0
"""Seconds that another process may take to make a home ready."""
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
    """Set DAGSTER_HOME to `<data>/.dagster` unless it is set, make it ready if it is new, and return it.

    Dagster makes its databases at their first use, and two that do so at once leave them unusable for good: so they are
    made here, one process at a time, before anything else uses them.
    """
    import dagster as dg

    given = os.environ.get("DAGSTER_HOME")
    home = Path(given) if given else (data / ".dagster").resolve()
    os.environ["DAGSTER_HOME"] = str(home)
    with locked(home / "ready.lock", wait=PATIENCE):
        settings = home / "dagster.yaml"
        if not settings.exists():
            with replacing(settings) as path:
                path.write_text(yaml.safe_dump(SETTINGS, sort_keys=False), encoding="utf-8")
        with dg.DagsterInstance.get():  # makes the databases of runs, events and schedules
            pass
    return home
