"""Nights of judges that ask a server: second opinions, drift, failures and broken-off nights, with the time given."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import data_files, recipe_of, table, wide, write_jsonl
from replay_server import SHOWN, App, Settings, number, serving

from pairwright.assets.auditing.relabel import Drift, audit
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard, verdicts_table
from pairwright.assets.pairing.pair import pair
from pairwright.assets.pairing.prefer import judges_of, prefer
from pairwright.assets.pairing.rank import rank
from pairwright.assets.releasing.release import release
from pairwright.assets.releasing.versions import Release, versions
from pairwright.assets.report.page import page
from pairwright.assets.storage.reply_ledger import budget_of
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import BudgetError

FIRST = datetime(2026, 3, 1, 2, tzinfo=UTC)
PROMPTS, RESPONSES = 10, 3


class Moods:
    """Answers that depend on the texts shown, and for some of the texts on the mood, too."""

    def __init__(self) -> None:
        self.mood = ""

    def value(self, text: str) -> float:
        return number(text if number(text) > 0.4 else text + self.mood)

    def __call__(self, body: dict[str, Any]) -> str:
        shown = {label: text for label, _, text in SHOWN.findall(body["messages"][-1]["content"])}
        if len(shown) == 1:
            return json.dumps({"rationale": "so", "rating": 1 + int(self.value(shown["A"]) * 5)})
        a, b = (self.value(shown[label]) for label in "AB")
        return json.dumps({"rationale": "so", "verdict": "A" if a > b else "B"})


class House:
    """A data set with a rating and a pairwise judge, brought up to date night by night as a nightly run does."""

    def __init__(self, folder: Path, url: str, budget: dict[str, int] | None = None, **schedule: float) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.url = folder, url
        self.schedule = {"relabel": "0 2 * * *", **schedule}
        write_jsonl(folder / "rows.jsonl", wide(PROMPTS, RESPONSES))
        self.spend(budget or {})

    def spend(self, budget: dict[str, int]) -> None:
        common = {"model": "m", "base_url": self.url}
        judges = [
            {"kind": "llm-rating", "name": "rubric", "aspects": ["helpfulness"], **common},
            {"kind": "llm-pairwise", "name": "duel", "pairs": "all", **common},
            {"kind": "length"},
        ]
        parts: dict[str, Any] = {"judges": judges, "schedule": self.schedule, "budget": budget}
        self.recipe = recipe_of(self.folder, "rows.jsonl", pairs={"strategy": "all"}, **parts)
        self.workspace = Workspace.of(self.recipe, self.folder / "data")

    def night(self, number_of_night: int) -> tuple[Release, dict[str, Drift]]:
        take_in(self.recipe, self.workspace)
        for judge in judges_of(self.recipe):
            for shard in self.workspace.each_shard():
                judge_shard(judge, self.workspace, shard, budget_of(self.recipe, self.workspace))
        drifts = audit(self.recipe, self.workspace, FIRST + timedelta(days=number_of_night))
        prefer(self.recipe, self.workspace)
        pair(self.recipe, self.workspace)
        rank(self.recipe, self.workspace)
        return release(self.recipe, self.workspace), {one.judge: one for one in drifts}

    def rounds(self, judge: str) -> dict[int, int]:
        one = next(one for one in judges_of(self.recipe) if one.name == judge)
        rows = table(self.workspace, verdicts_table(one))
        return dict(rows.group_by("round").len().sort("round").iter_rows())


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[App, Moods, str]]:
    monkeypatch.setattr("pairwright.models.serving.live_call.backoff", lambda tries: 0.01 * 2**tries)
    moods = Moods()
    app = App(Settings(), moods)
    with serving(app) as url:
        yield app, moods, url


DUELS = RESPONSES * (RESPONSES - 1) // 2
"""Pairs of a prompt, each asked in both orders."""


def test_ten_nights_of_a_rating_and_a_pairwise_judge(server: tuple[App, Moods, str], tmp_path: Path) -> None:
    app, moods, url = server
    house = House(tmp_path, url, audit_fraction=0.25)
    before, again = 0, 0
    for night in range(10):
        moods.mood = f"mood {night // 3}"
        _, drift = house.night(night)
        assert set(drift) == {"rubric", "duel"}  # the length of a text is not asked for again
        first = PROMPTS * (RESPONSES + 2 * DUELS) if night == 0 else 0
        drawn = drift["rubric"].judged_again // RESPONSES
        assert drift["rubric"].judged_again == drawn * RESPONSES and drift["duel"].judged_again == drawn * DUELS
        assert len(app.sent) - before == first + drawn * (RESPONSES + 2 * DUELS)  # one call a question
        before, again = len(app.sent), again + drawn
        if drawn and night > 2:  # by then the mood is another than when the verdicts were given
            agreement = drift["duel"].agreement
            assert agreement is not None and drift["duel"].flipped == round((1 - agreement) * drift["duel"].compared)
    assert 10 <= again <= 50
    assert sum(house.rounds("duel").values()) == DUELS * (PROMPTS + again)
    made_by_night = versions(house.workspace)
    assert 2 <= len(made_by_night) <= 10
    for one in made_by_night[1:]:
        told = {what: set(causes) for what, causes in one.manifest["causes"].items()}
        assert set().union(*told.values()) <= {"verdicts changed", "filters or pairing"}
    last = next(one for one in reversed(made_by_night) if one.manifest["causes"]["flipped"])
    html, card = page(house.recipe, house.workspace, last.manifest), (last.path / "README.md").read_text()
    flipped = last.manifest["causes"]["flipped"].get("verdicts changed", 0)
    assert flipped > 0 and f"| flipped | verdicts changed | {flipped:,} |" in card
    assert re.search(rf"<td>verdicts changed</td><td>[\d,]+</td><td>[\d,]+</td><td>{flipped:,}</td>", html)
    for one in last.manifest["drift"]["drift"]:
        figures = (f"{one['judged_again']:,}", "0", f"{one['compared']:,}", f"{one['agreement']:.1%}")
        assert f"| {one['judge']} | {' | '.join(figures)} | {one['flipped']:,} |" in card
        assert "".join(f"<td>{figure}</td>" for figure in (one["judge"], *figures)) in html


def test_the_same_answers_again_agree_and_make_no_version(server: tuple[App, Moods, str], tmp_path: Path) -> None:
    app, _, url = server
    house = House(tmp_path, url, audit_fraction=1.0)
    first, _ = house.night(0)
    asked = len(app.sent)
    assert asked == 2 * PROMPTS * (RESPONSES + 2 * DUELS)  # the first night judges, and judges all again
    second, drift = house.night(1)
    assert second.version == first.version == "v1"
    for name, verdicts in (("rubric", RESPONSES), ("duel", DUELS)):
        one = drift[name]
        assert (one.judged_again, one.failed, one.flipped, one.mean_change) == (PROMPTS * verdicts, 0, 0, 0.0)
        assert one.agreement == 1.0 and house.rounds(name) == dict.fromkeys(range(3), PROMPTS * verdicts)


def test_verdicts_past_their_age_alone(server: tuple[App, Moods, str], tmp_path: Path) -> None:
    app, _, url = server
    house = House(tmp_path, url, max_age_days=2.5)
    nights = [house.night(night)[1] for night in range(7)]
    assert [one["duel"].judged_again for one in nights] == [0, 0, 0, PROMPTS * DUELS, 0, 0, PROMPTS * DUELS]
    assert len(app.sent) == 3 * PROMPTS * (RESPONSES + 2 * DUELS)


def test_what_failed_is_owed_and_asked_by_the_next_night_alone(server: tuple[App, Moods, str], tmp_path: Path) -> None:
    app, moods, url = server
    house = House(tmp_path, url, max_age_days=1.5)
    house.night(0)
    app.settings = Settings(fault_rate=0.5, faults=("garbage", "empty", "wrong-schema"), seed=3)
    moods.mood = "grim"
    _, drift = house.night(2)
    for one in drift.values():
        assert (
            one.failed > 0
            and one.judged_again + one.failed == PROMPTS * {"rubric": RESPONSES, "duel": DUELS}[one.judge]
        )
    assert all(table.get_column("failure").null_count() == table.height for table in verdicts(house))  # the old stay
    app.settings = Settings()
    _, after = house.night(3)
    for name, one in after.items():
        assert (one.judged_again, one.failed) == (drift[name].failed, 0)
    asked = len(app.sent)
    house.night(3)
    assert len(app.sent) == asked


def verdicts(house: House) -> list[pl.DataFrame]:
    return [table(house.workspace, verdicts_table(one)) for one in judges_of(house.recipe)]


def test_a_night_that_runs_out_of_budget_is_finished_by_the_next(
    server: tuple[App, Moods, str], tmp_path: Path
) -> None:
    app, moods, url = server
    whole, broken = (House(tmp_path / name, url, audit_fraction=0.5) for name in ("whole", "broken"))
    for house in (whole, broken):
        house.night(0)
    moods.mood = "grim"

    def calls(work: Callable[[], Any]) -> int:
        before = len(app.sent)
        work()
        return len(app.sent) - before

    first, second = (calls(lambda night=night: whole.night(night)) for night in (1, 2))
    assert first > 10
    broken.spend({"calls": budget_of(broken.recipe, broken.workspace).spent.calls + first // 2})

    def breaks_off() -> None:
        with pytest.raises(BudgetError, match=r"budget\.calls"):
            broken.night(1)

    made = calls(breaks_off)
    assert 0 < made <= first // 2
    broken.spend({})
    assert made + calls(lambda: broken.night(2)) == first + second  # the rest of night 1, then its own
    for judge in ("rubric", "duel"):
        assert broken.rounds(judge) == whole.rounds(judge)
    last = [data_files(versions(house.workspace)[-1].path) for house in (whole, broken)]
    assert last[0] == last[1]
