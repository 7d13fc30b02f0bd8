"""The schedule: off until switched on, one run a night, and a run's tag is all that a night needs."""

from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from helpers import recipe_of, wide, write_jsonl

from pairwright.assets.auditing.relabel import NIGHT, last_night
from pairwright.assets.storage.store import Workspace
from pairwright.pipelines.build import definitions
from pairwright.pipelines.run import build

SCHEDULE = {"relabel": "0 2 * * *", "timezone": "Europe/Berlin", "audit_fraction": 0.5}


def test_the_schedule_asks_for_one_run_a_night_with_its_time(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    recipe = recipe_of(tmp_path, "rows.jsonl", schedule=SCHEDULE)
    schedule = definitions([recipe]).resolve_schedule_def("tested_relabel")
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "Europe/Berlin")
    night = datetime(2026, 3, 2, 1, tzinfo=UTC)  # 2:00 in Berlin
    with dg.build_schedule_context(scheduled_execution_time=night) as context:
        [request] = schedule.evaluate_tick(context).run_requests or []
    assert request.run_key == night.isoformat() == request.tags[NIGHT]
    assert request.tags["dagster/asset_partition_range_end"] == "00001"


def test_without_a_schedule_there_is_no_drift_asset(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    plain = definitions([recipe_of(tmp_path, "rows.jsonl")])
    assert not list(plain.schedules or []) and dg.AssetKey(["tested", "drift"]) not in plain.resolve_all_asset_keys()


def test_a_nightly_run_through_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(30))
    recipe = recipe_of(
        tmp_path, "rows.jsonl", schedule=SCHEDULE, release={"formats": ["trl", {"kind": "kto", "plain": True}]}
    )
    data = tmp_path / "data"
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(data))
    night = datetime(2026, 3, 2, 1, tzinfo=UTC)
    made = build(recipe, data, night=night)
    assert (made.path / "report.html").stat().st_size > 500_000
    exports = Workspace.of(recipe, data).root / "exports" / "v1"
    assert sorted(path.name for path in exports.iterdir()) == ["kto", "trl"]
    assert last_night(Workspace.of(recipe, data)) == {"night": night.isoformat(), "drift": []}
