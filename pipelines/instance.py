"""Where Dagster keeps its history: beside the data, unless DAGSTER_HOME says otherwise."""

import os
from pathlib import Path
from typing import Any

import yaml

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
    if not settings.exists():
        settings.write_text(yaml.safe_dump(SETTINGS, sort_keys=False))
    os.environ["DAGSTER_HOME"] = str(home)
    return home
