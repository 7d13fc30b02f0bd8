"""Where Dagster keeps its history: beside the data, unless DAGSTER_HOME says otherwise."""

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from sqlalchemy.exc import DatabaseError

from pairwright.schemas.errors import PairwrightError, StoreError
from pairwright.schemas.files import FULL, error_number, locked, replacing

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


def use_home(data: Path) -> None:
    """Set DAGSTER_HOME for this process and those that it starts, to what `home_of` says."""
    os.environ["DAGSTER_HOME"] = str(home_of(data))


def home_of(data: Path) -> Path:
    """DAGSTER_HOME, or `<data>/.dagster` where it is not set; made ready if it is new.

    Dagster makes its databases at their first use, and two that do so at once leave them unusable for good: so they are
    made here, one process at a time, before anything else uses them.
    """
    given = os.environ.get("DAGSTER_HOME")
    home = Path(given) if given else (data / ".dagster").resolve()
    with room_for_history(home), locked(home / "ready.lock", wait=PATIENCE):
        settings = home / "dagster.yaml"
        ours = home.resolve() == (data / ".dagster").resolve()
        if not settings.exists() or (ours and not _holds_settings(settings)):
            with replacing(settings) as path:
                path.write_text(yaml.safe_dump(SETTINGS, sort_keys=False), encoding="utf-8")
        with history(home):  # makes the databases of runs, events and schedules
            pass
    return home


def _holds_settings(path: Path) -> bool:
    try:
        return isinstance(yaml.safe_load(path.read_bytes()), dict)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError):
        return False


@contextlib.contextmanager
def history(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance in its home. Raises StoreError naming the folder where it is damaged."""
    try:
        with _opened(home) as instance:
            yield instance
    except DatabaseError as error:
        raise _unusable(home, error) from error


def _opened(home: Path) -> dg.DagsterInstance:
    try:
        return dg.DagsterInstance.from_config(str(home))
    except (dg.DagsterError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise _unusable(home, error) from error


def _unusable(home: Path, error: Exception) -> StoreError:
    reason = " ".join(str(error).split())[:200]
    return StoreError(
        f"Dagster's settings or history in {home} cannot be used ({type(error).__name__}: "
        f"{reason}); move the folder away and build again: it holds the history of runs and no data"
    )


@contextlib.contextmanager
def room_for_history(home: Path) -> Iterator[None]:
    """Raises StoreError in one line where the disk is full, whoever of Dagster's libraries came upon it first."""
    try:
        yield
    except Exception as error:
        chain = list(_chain(error))
        told = next((one for one in chain if isinstance(one, PairwrightError)), None)
        if told is not None and told is not error:
            raise told from None  # what the step said, before its failure could not be noted either
        if not any(map(_is_full, chain)):
            raise
        raise StoreError(
            f"{home} could not be written: the disk is full; make room there, then build again: "
            "what was finished is kept"
        ) from error


def _is_full(error: BaseException) -> bool:
    return error_number(error) in FULL or (isinstance(error, sqlite3.Error) and "full" in str(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it, latest first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # a generator that is closed can make them a ring
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
