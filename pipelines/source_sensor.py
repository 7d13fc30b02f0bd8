"""The sensor for new source files: it asks for a build when they are others than before, and again where one failed.

What it knows from look to look is its cursor: the version of the sources that it last asked a build for, how often, and
the hash of each file with what the file system said of it, so that bytes are read only where that has changed.
"""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
from pydantic import BaseModel, ValidationError

from pairwright.assets.intake.readers import file_hash, open_source
from pairwright.pipelines.names import every_shard, group, job_name
from pairwright.schemas.errors import SourceError
from pairwright.schemas.ids import fingerprint
from pairwright.schemas.recipe import Recipe

LOOK_EVERY = 300
"""Seconds between two looks at the source files."""
WAITS = (300.0, 1_200.0, 4_800.0)
"""Seconds from the end of a failed or cancelled run until the next of the same sources: as many times as these."""
SETTLED = 2.0
"""Seconds without a change after which a file's times tell its next change for sure."""
READS_FOR = 30.0
"""Seconds of a look that go into reading files; Dagster gives up on a look after 60. The next one reads on."""
FAILED = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
Stat = tuple[int, int, int, int]
"""Size, time of the last change to the bytes and to the entry, in ns, and inode."""


class Cursor(BaseModel):
    """What the sensor knows from look to look."""

    version: str = ""
    """Of the sources that a build was last asked for."""
    run: int = 0
    """Number of that run; 0 before the first."""
    tries: int = 0
    """Runs asked for since the sources last changed."""
    files: dict[str, tuple[Stat, str]] = {}
    """Path → what the file system said of the file, and its hash."""

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """A cursor as it was kept; one that was no JSON is a version alone."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError:
            return cls(version=text or "")

    @classmethod
    def of_record(cls, record: dict[str, Any] | None) -> "Cursor":
        """A cursor of the files alone, as a record keeps them; empty where there is none of that form."""
        try:
            return cls(files=(record or {}).get("files", {}))
        except ValidationError:
            return cls()

    @property
    def run_key(self) -> str:
        """Tells its run from all others, those of the same sources too: Dagster starts no key twice."""
        return f"{self.version}-{self.run}"

    def asking(self, version: str) -> "Cursor":
        """With a run of a version more. Numbers start at the time, so that a cursor that was reset repeats none."""
        tries = self.tries + 1 if version == self.version else 1
        run = self.run + 1 if self.run else int(now())
        return self.model_copy(update={"version": version, "run": run, "tries": tries})


class _OutOfTimeError(Exception):
    """A look has read for as long as it may."""


class Hashes:
    """Hashes of files, read anew where the file system says that they have changed."""

    def __init__(self, known: dict[str, tuple[Stat, str]], reads_for: float | None = None) -> None:
        self.known = known
        self.found: dict[str, tuple[Stat, str]] = {}
        self._end = time.monotonic() + (READS_FOR if reads_for is None else reads_for)
        self._read = 0

    def of(self, path: Path) -> bytes:
        """The hash of a file's bytes. Raises _OutOfTimeError rather than begin to read a second after READS_FOR."""
        told = path.stat()
        stat = (told.st_size, told.st_mtime_ns, told.st_ctime_ns, told.st_ino)
        before, value = self.known.get(str(path), (None, ""))
        if stat != before:
            if self._read and time.monotonic() > self._end:
                raise _OutOfTimeError
            value = file_hash(path).hex()
            self._read += 1
        if now() - max(told.st_mtime, told.st_ctime) > SETTLED:
            self.found[str(path)] = (stat, value)
        return bytes.fromhex(value)


class _Run(NamedTuple):
    """A run that the sensor asked for."""

    run_id: str
    status: dg.DagsterRunStatus
    ended: float


def now() -> float:
    """Seconds since 1970."""
    return time.time()


def sensors(recipes: Sequence[Recipe]) -> list[dg.SensorDefinition]:
    """One sensor a recipe, off until switched on."""
    return [_sensor(recipe) for recipe in recipes]


def _sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{group(recipe)}_sources",
        job_name=job_name(recipe),
        minimum_interval_seconds=LOOK_EVERY,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description=f"Builds {recipe.dataset} when its source files change.",
    )
    def sources(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        cursor = Cursor.read(context.cursor)
        hashes = Hashes(cursor.files)
        try:
            opened = [open_source(source, recipe.path.parent, hashes.of) for source in recipe.sources]
        except (SourceError, OSError) as error:
            return dg.SkipReason(f"the sources cannot be read: {error}")
        except _OutOfTimeError:
            context.update_cursor(cursor.model_copy(update={"files": cursor.files | hashes.found}).model_dump_json())
            return dg.SkipReason("the sources are not all read yet; the next look reads on")
        cursor = cursor.model_copy(update={"files": hashes.found})
        version = fingerprint([one.version for one in opened])
        reason = _reason_to_wait(cursor, version, _last_run(context.instance, recipe, cursor))
        if reason is None:
            cursor = cursor.asking(version)
        context.update_cursor(cursor.model_dump_json())
        if reason is not None:
            return dg.SkipReason(reason)
        return dg.RunRequest(run_key=cursor.run_key, tags=every_shard(recipe))

    return sources


def _last_run(instance: dg.DagsterInstance, recipe: Recipe, cursor: Cursor) -> _Run | None:
    """The run that was last asked for; None before the first, and where it was deleted from the history."""
    if not cursor.run:
        return None
    filters = dg.RunsFilter(job_name=job_name(recipe), tags={"dagster/run_key": cursor.run_key})
    for record in instance.get_run_records(filters, limit=1):
        ended = record.end_time or record.update_timestamp.replace(tzinfo=UTC).timestamp()
        return _Run(record.dagster_run.run_id, record.dagster_run.status, ended)
    return None


def _reason_to_wait(cursor: Cursor, version: str, run: _Run | None) -> str | None:
    """Why no run is asked for; None where one is."""
    if run is not None and run.status not in {*FAILED, dg.DagsterRunStatus.SUCCESS}:
        return f"run {run.run_id}, of this sensor, is not over yet"
    if version != cursor.version:
        return None
    if run is None or run.status not in FAILED:
        return "the sources have not changed"
    failed = f"run {run.run_id} of these sources failed or was cancelled"
    if cursor.tries > len(WAITS):
        return f"{failed}, and {len(WAITS)} before it; start it by hand, or change the sources"
    due = run.ended + WAITS[cursor.tries - 1]
    if now() < due:
        return f"{failed}; it is tried again at {datetime.fromtimestamp(due, UTC):%Y-%m-%d %H:%M} UTC"
    return None
