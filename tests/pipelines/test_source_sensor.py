"""The sensor: a build for sources that have changed, also back to what they were; again, for a while, where one failed;
and no byte read twice."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from helpers import recipe_of, wide, write_jsonl

from pairwright.pipelines import source_sensor
from pairwright.pipelines.build import definitions
from pairwright.pipelines.source_sensor import LOOK_EVERY, WAITS
from pairwright.schemas.ids import fingerprint

SUCCESS, FAILURE, CANCELED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED


class Sensor:
    """The sensor of a recipe, a history for its runs, and a clock that each look sets on."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
        self.source = write_jsonl(folder / "rows.jsonl", wide(4))
        self.instance = instance
        defined = definitions([recipe_of(folder, "rows.jsonl")])
        self.definition = defined.resolve_sensor_def("tested_sources")
        self.job = defined.resolve_job_def("tested_build")
        self.cursor: str | None = None
        self.time = os.stat(self.source).st_mtime + 1_000  # noqa: PTH116 - of the machine's clock
        self.read: list[str] = []
        monkeypatch.setattr(source_sensor, "now", lambda: self.time)
        hash_of = source_sensor.file_hash
        monkeypatch.setattr(source_sensor, "file_hash", lambda path: self.read.append(path.name) or hash_of(path))  # type: ignore[func-returns-value]

    def look(self, after: float = LOOK_EVERY) -> dg.RunRequest | str:
        """What one look comes to: a request, or why there is none."""
        self.time += after
        self.read.clear()
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        tick = self.definition.evaluate_tick(context)
        self.cursor = tick.cursor
        [*requests] = tick.run_requests or []
        return requests[0] if requests else str(tick.skip_message)

    def asked(self, after: float = LOOK_EVERY) -> dg.RunRequest:
        found = self.look(after)
        assert isinstance(found, dg.RunRequest), found
        return found

    def run(self, request: dg.RunRequest, status: dg.DagsterRunStatus) -> str:
        """The run of a request, as the daemon makes it, with the status that it came to."""
        tags = {**request.tags, "dagster/run_key": str(request.run_key), "dagster/sensor_name": "tested_sources"}
        run = self.instance.create_run_for_job(self.job, tags=tags, status=status)
        return run.run_id

    def write(self, count: int) -> None:
        write_jsonl(self.source, wide(count))


@pytest.fixture
def sensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sensor]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Sensor(tmp_path, instance, monkeypatch)


def test_it_builds_when_a_source_file_changes(sensor: Sensor) -> None:
    assert sensor.definition.default_status == dg.DefaultSensorStatus.STOPPED
    request = sensor.asked()
    assert request.tags["dagster/asset_partition_range_end"] == "00001"
    sensor.run(request, SUCCESS)
    assert "not changed" in str(sensor.look())
    sensor.write(5)
    sensor.run(sensor.asked(), SUCCESS)
    sensor.source.unlink()
    assert "cannot be read" in str(sensor.look())


def test_sources_that_are_what_they_were_before_are_built_again(sensor: Sensor) -> None:
    keys = []
    for count in (4, 5, 4, 5):
        sensor.write(count)
        request = sensor.asked()
        keys.append(request.run_key)
        sensor.run(request, SUCCESS)
        assert "not changed" in str(sensor.look())
    assert len(set(keys)) == 4, "Dagster starts no key twice"
    sensor.cursor = None
    assert sensor.asked().run_key not in keys, "nor does a cursor that was reset repeat one"


@pytest.mark.parametrize("status", [FAILURE, CANCELED])
def test_a_run_that_failed_is_tried_again_later_and_later_and_not_for_ever(
    sensor: Sensor, status: dg.DagsterRunStatus
) -> None:
    keys = set()
    for wait in (0.0, *WAITS):
        assert wait < 900 or "it is tried again at 20" in str(sensor.look(wait / 2))
        request = sensor.asked(max(wait, LOOK_EVERY))
        keys.add(request.run_key)
        sensor.run(request, status)
        [record] = sensor.instance.get_run_records(limit=1)
        sensor.time = record.update_timestamp.timestamp()  # the machine's clock, when it ended
    assert len(keys) == 1 + len(WAITS)
    assert "and 3 before it; start it by hand" in str(sensor.look(1e6))
    sensor.write(6)
    sensor.run(sensor.asked(), SUCCESS)
    assert "not changed" in str(sensor.look())


def test_a_run_that_is_not_over_is_waited_for(sensor: Sensor) -> None:
    run = sensor.run(sensor.asked(), dg.DagsterRunStatus.STARTED)
    assert "not over yet" in str(sensor.look())
    sensor.write(5)
    assert f"run {run}, of this sensor, is not over yet" in str(sensor.look())
    sensor.instance.delete_run(run)
    assert sensor.asked().run_key


def test_bytes_are_read_only_where_the_file_system_says_that_they_may_have_changed(sensor: Sensor) -> None:
    sensor.run(sensor.asked(), SUCCESS)
    assert sensor.read == ["rows.jsonl"]
    assert "not changed" in str(sensor.look()) and sensor.read == []
    text = sensor.source.read_bytes()
    times = sensor.source.stat()
    sensor.source.write_bytes(text.replace(b"answer 0", b"answer 9"))
    os.utime(sensor.source, ns=(times.st_atime_ns, times.st_mtime_ns))
    sensor.run(sensor.asked(), SUCCESS)  # as long and, it says, as old as before
    os.utime(sensor.source)
    assert "not changed" in str(sensor.look()) and sensor.read == ["rows.jsonl"]


def test_a_file_that_has_just_changed_is_read_again(sensor: Sensor) -> None:
    sensor.time = sensor.source.stat().st_mtime + 0.5 - LOOK_EVERY
    sensor.run(sensor.asked(), SUCCESS)
    assert "not changed" in str(sensor.look()) and sensor.read == ["rows.jsonl"]
    assert "not changed" in str(sensor.look()) and sensor.read == []


def test_what_one_look_has_no_time_for_the_next_one_reads(
    tmp_path: Path, sensor: Sensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_of(tmp_path, "part-*.jsonl")
    for part in range(3):
        write_jsonl(tmp_path / f"part-{part}.jsonl", wide(2, first=2 * part))
    sensor.definition = definitions([recipe]).resolve_sensor_def("tested_sources")
    monkeypatch.setattr(source_sensor, "READS_FOR", 0.0)
    for part in range(2):
        assert "the next look reads on" in str(sensor.look())
        assert sensor.read == [f"part-{part}.jsonl"]
    sensor.run(sensor.asked(), SUCCESS)
    assert sensor.read == ["part-2.jsonl"]


def test_a_cursor_of_the_first_kind_is_the_version_alone(sensor: Sensor) -> None:
    from pairwright.assets.intake.readers import open_source

    recipe: Any = recipe_of(sensor.source.parent, "rows.jsonl")
    sensor.cursor = fingerprint([open_source(recipe.sources[0], sensor.source.parent).version])
    assert "not changed" in str(sensor.look())
