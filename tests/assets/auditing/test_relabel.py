"""Ten nights in a few seconds: time is an argument, and a judge with moods changes its mind between them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import Annotated, Literal

import polars as pl
import pytest
from helpers import Counting, calls, data_files, number, recipe_of, wide, write_jsonl
from pydantic import Field

from pairwright.assets.auditing.relabel import Drift, audit, last_night
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.pairing.pair import pair
from pairwright.assets.pairing.prefer import judges_of, prefer
from pairwright.assets.pairing.rank import rank
from pairwright.assets.releasing.release import release
from pairwright.assets.releasing.versions import Release, versions
from pairwright.assets.storage.store import Workspace
from pairwright.judges.base import Batch
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.recipe import Recipe

FIRST = datetime(2026, 3, 1, 2, tzinfo=UTC)


class Moody(Counting):
    """Scores by a hash of the text and of the mood that a file names; some moods make it give up."""

    kind: Literal["test-moody"] = "test-moody"  # type: ignore[assignment]
    mood: Annotated[str, Field(default=""), Runtime]
    repeatable = False

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        mood = Path(self.mood).read_text()
        if mood == "ill":
            raise RuntimeError("the judge fell over")
        for frame in super().judge(work):
            texts = frame.join(work.responses, on=["prompt_id", "response_id"], maintain_order="left").get_column(
                "text"
            )
            scores = [float(number(text if number(text, 5) else text + mood, 1000)) for text in texts]
            silent = mood == "silent"
            yield frame.with_columns(
                score=pl.Series([None if silent else one for one in scores], dtype=pl.Float64),
                failure=pl.lit("no answer" if silent else None, pl.String),
                retry=pl.lit(silent),
            )


Recipe.model_rebuild(force=True)


class House:
    """A data set that is built night by night."""

    def __init__(self, folder: Path, **schedule: float) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.log, self.mood = folder, folder / "calls.log", folder / "mood"
        self.mood.write_text("")
        self.grow(40)
        judge = {"kind": "test-moody", "mood": str(self.mood), "log": str(self.log)}
        plan = {"relabel": "0 2 * * *", "timezone": "Europe/Berlin", **schedule}
        self.recipe = recipe_of(folder, "rows.jsonl", judges=[judge], schedule=plan, pairs={"strategy": "all"})
        self.workspace = Workspace.of(self.recipe, folder / "data")

    def grow(self, prompts: int) -> None:
        write_jsonl(self.folder / "rows.jsonl", wide(prompts))

    def night(self, number_of_night: int) -> tuple[Release, list[Drift]]:
        take_in(self.recipe, self.workspace)
        for judge in judges_of(self.recipe):
            for shard in self.workspace.each_shard():
                judge_shard(judge, self.workspace, shard)
        drifts = audit(self.recipe, self.workspace, FIRST + timedelta(days=number_of_night))
        prefer(self.recipe, self.workspace)
        pair(self.recipe, self.workspace)
        rank(self.recipe, self.workspace)
        return release(self.recipe, self.workspace), drifts

    def asked(self) -> int:
        return sum(calls(self.log).values())


def test_ten_nights(tmp_path: Path) -> None:
    house = House(tmp_path, audit_fraction=0.2)
    before = 0
    for night in range(10):
        house.mood.write_text(f"mood {night // 3}")  # it changes on nights 3, 6 and 9
        if night == 5:
            house.grow(44)
        made, [drift] = house.night(night)
        new = (160 if night == 0 else 16 if night == 5 else 0) + drift.judged_again
        assert house.asked() - before == new
        before = house.asked()
        assert drift.judged_again % 4 == 0 and drift.failed == 0  # whole prompts
        found = {"night": (FIRST + timedelta(days=night)).isoformat(), "drift": [drift._asdict()]}
        assert last_night(house.workspace) == found
        if made.manifest["parent"]:
            card = (made.path / "README.md").read_text()
            told = made.manifest["drift"]["drift"][0]
            assert f"| test-moody | {told['judged_again']:,} | 0 | {told['compared']:,} |" in unescape(card)
    assert 160 * 0.2 * 10 * 0.5 < house.asked() - 176 < 176 * 0.2 * 10 * 1.5
    made = versions(house.workspace)
    assert 2 <= len(made) <= 10
    causes = [one.manifest["causes"] for one in made[1:]]
    assert any("new prompts" in cause["added"] for cause in causes)
    assert any("verdicts changed" in {**cause["added"], **cause["flipped"]} for cause in causes)
    for one in made[1:]:
        changes = one.manifest["changes"]
        assert {what: sum(counts.values()) for what, counts in one.manifest["causes"].items()} == {
            what: changes[what] for what in ("added", "gone", "flipped")
        }
        assert f"Against {one.manifest['parent']}:" in (one.path / "README.md").read_text()


def test_a_judge_that_says_the_same_again_makes_no_new_version(tmp_path: Path) -> None:
    house = House(tmp_path, audit_fraction=1.0)
    first, _ = house.night(0)
    second, [drift] = house.night(1)
    assert second.version == first.version == "v1"
    assert drift.judged_again == 160 and drift.agreement == 1.0 and drift.flipped == 0 and drift.mean_change == 0.0


def test_a_judge_that_changes_its_mind_shows_as_drift(tmp_path: Path) -> None:
    house = House(tmp_path, audit_fraction=1.0)
    house.night(0)
    house.mood.write_text("grim")
    made, [drift] = house.night(1)
    assert made.version == "v2" and made.manifest["changes"]["flipped"] > 0
    assert drift.agreement is not None and 0.5 < drift.agreement < 0.95
    assert drift.flipped == drift.compared - round(drift.agreement * drift.compared)


def test_only_verdicts_past_their_age_are_judged_again(tmp_path: Path) -> None:
    house = House(tmp_path, max_age_days=3.5)
    again = [house.night(night)[1][0].judged_again for night in range(9)]
    assert again == [0, 0, 0, 0, 160, 0, 0, 0, 160]


def test_answers_that_fail_leave_the_old_verdict(tmp_path: Path) -> None:
    house = House(tmp_path, audit_fraction=1.0)
    first, _ = house.night(0)
    house.mood.write_text("silent")
    second, [drift] = house.night(1)
    assert second.version == first.version and drift.failed == 160 and drift.judged_again == 0


def test_a_night_that_broke_off_is_finished_by_the_next_and_pays_nothing_twice(tmp_path: Path) -> None:
    whole, broken = House(tmp_path / "a", audit_fraction=0.5), House(tmp_path / "b", audit_fraction=0.5)
    for house in (whole, broken):
        house.night(0)
        house.mood.write_text("grim")
    whole.night(1)
    broken.mood.write_text("ill")
    with pytest.raises(RuntimeError, match="fell over"):
        broken.night(1)
    assert last_night(broken.workspace) is None
    broken.mood.write_text("grim")
    assert broken.night(1)[0].version == "v2"
    assert broken.asked() == whole.asked()
    for house in (whole, broken):
        house.night(2)
    assert data_files(whole.workspace.releases) == data_files(broken.workspace.releases)


def test_an_older_night_is_made_up_for_before_the_new_one(tmp_path: Path) -> None:
    whole, broken = House(tmp_path / "a", audit_fraction=0.5), House(tmp_path / "b", audit_fraction=0.5)
    for house in (whole, broken):
        house.night(0)
    whole.night(1)
    broken.mood.write_text("ill")
    with pytest.raises(RuntimeError):
        broken.night(1)
    broken.mood.write_text("")
    whole.night(2)
    broken.night(2)
    assert calls(broken.log) == calls(whole.log)


def test_without_a_schedule_there_is_nothing_to_relabel(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(3))
    recipe = recipe_of(tmp_path, "rows.jsonl")
    with pytest.raises(RecipeError, match="has no `schedule:`"):
        audit(recipe, Workspace.of(recipe, tmp_path / "data"), FIRST)
