"""Comparing only neighbours by another judge's score: the right pairs, nothing paid for twice, and clear refusals."""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import dagster as dg
import polars as pl
import pytest
from helpers import Counting, judge_all, number, recipe_of, table, wide, write_jsonl
from pydantic import Field
from replay_server import App, Settings, serving

from pairwright.assets.auditing.relabel import audit
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.verdicts import guides_first, judges_of, verdicts_table, wanted
from pairwright.assets.pairing.prefer import prefer
from pairwright.assets.storage.store import Workspace
from pairwright.judges.base import Batch
from pairwright.pipelines.build import definitions
from pairwright.pipelines.names import every_shard, job_name
from pairwright.pipelines.plan import plan
from pairwright.schemas.errors import RecipeError, StoreError
from pairwright.schemas.kinds import Runtime
from pairwright.schemas.recipe import Recipe

PROMPTS, RESPONSES = 6, 5


class Fickle(Counting):
    """Scores by a hash of the text and of what a file holds."""

    kind: Literal["test-fickle"] = "test-fickle"  # type: ignore[assignment]
    mood: Annotated[str, Field(default=""), Runtime]
    repeatable = False

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        mood = Path(self.mood).read_text()
        texts = work.responses.get_column("text")
        score = pl.Series([float(number(mood + text, 1000)) for text in texts], dtype=pl.Float64)
        yield work.responses.select("prompt_id", "response_id", criterion=pl.lit("fickle"), score=score)


Recipe.model_rebuild(force=True)


def recipe(folder: Path, url: str, guide: dict[str, Any] | None = None, **parts: Any) -> Recipe:
    """A duel, listed before the judge that it goes by."""
    write_jsonl(folder / "rows.jsonl", wide(PROMPTS, responses=RESPONSES))
    pairs = parts.pop("pairs_of_duel", {"pairs": "adjacent", "pairs_by": "first-look"})
    duel = {"name": "duel", "kind": "llm-pairwise", "model": "m", "base_url": url, **pairs}
    look = {"name": "first-look", "kind": "test-counting", **(guide or {})}
    return recipe_of(folder, "rows.jsonl", judges=[duel, look], **parts)


def rank_all(made: Recipe, data: Path) -> None:
    prefer(made, judge_all(made, data))


def neighbours_by_hand(responses: pl.DataFrame, scores: dict[str, float | None]) -> set[tuple[str, str]]:
    found = set()
    for _, group in responses.group_by("prompt_id"):
        order = sorted(
            group.get_column("response_id"), key=lambda one: (scores[one] is None, -(scores[one] or 0.0), one)
        )
        found |= {tuple(sorted(pair)) for pair in pairwise(order)}
    return found  # type: ignore[return-value]


def asked(made: Recipe, data: Path) -> set[tuple[str, str]]:
    duel, workspace = judges_of(made)[0], Workspace.of(made, data)
    frames = [wanted(duel, workspace, shard).select("response_a", "response_b") for shard in workspace.each_shard()]
    return set(pl.concat(frames).collect().rows())


@pytest.mark.parametrize("guide", [{}, {"values": 2}, {"fails": "answer 3"}], ids=["scores", "ties", "nulls"])
def test_neighbours_are_compared_and_nothing_else(guide: dict[str, Any], tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        made = recipe(tmp_path, url, guide)
        workspace = Workspace.of(made, tmp_path / "data")
        planned = {line.judge: line.estimate for line in plan(made, workspace).lines}
        assert planned["duel"].calls == PROMPTS * (RESPONSES - 1) * 2, "also before there is any score"
        rank_all(made, tmp_path / "data")
        assert len(app.sent) == planned["duel"].calls
        assert not plan(made, workspace).total.calls
    duel, look = judges_of(made)
    rows = table(workspace, verdicts_table(duel))
    scores = dict(table(workspace, verdicts_table(look)).select("response_id", "score").rows())
    assert (None in scores.values()) == ("fails" in guide)
    by_hand = neighbours_by_hand(table(workspace, "responses"), scores)
    assert set(rows.select("response_a", "response_b").rows()) == by_hand
    assert table(workspace, "preferences").get_column("scores").struct.field("duel").null_count() == 0


def test_which_pairs_are_asked_changes_no_verdict_and_loses_none(tmp_path: Path) -> None:
    app = App(Settings())
    ways = [{}, {"pairs": "adjacent", "pairs_by": "first-look"}, {"pairs": "all"}, {"pairs_per_response": 1}]
    with serving(app) as url:
        recipes = [recipe(tmp_path, url, pairs_of_duel=way) for way in ways]
        assert len({judges_of(one)[0].fingerprint for one in recipes}) == 1
        seen: set[tuple[str, str]] = set()
        scores = []
        for one in recipes:
            rank_all(one, tmp_path / "data")
            seen |= asked(one, tmp_path / "data")
            assert len(app.sent) == len(seen) * 2
            scores.append(table(Workspace.of(one, tmp_path / "data"), "preferences").get_column("scores").to_list())
        assert len(app.sent) == PROMPTS * RESPONSES * (RESPONSES - 1)
        rank_all(recipes[1], tmp_path / "data")
        assert len(app.sent) == PROMPTS * RESPONSES * (RESPONSES - 1)
    again = table(Workspace.of(recipes[1], tmp_path / "data"), "preferences").get_column("scores").to_list()
    assert again == scores[1] != scores[2], "only the pairs that are asked for count"


def test_other_scores_ask_for_new_neighbours_alone_and_end_as_a_fresh_build(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        first, second = recipe(tmp_path, url), recipe(tmp_path, url, {"salt": "other"})
        rank_all(first, tmp_path / "data")
        before, count = asked(first, tmp_path / "data"), len(app.sent)
        rank_all(second, tmp_path / "data")
        new = asked(second, tmp_path / "data") - before
        assert 0 < len(new) < PROMPTS * (RESPONSES - 1)
        assert len(app.sent) - count == len(new) * 2
        rank_all(second, tmp_path / "fresh")
        made = [table(Workspace.of(second, tmp_path / name), "preferences") for name in ("data", "fresh")]
        assert made[0].equals(made[1])
        count = len(app.sent)
        cut = second.model_copy(update={"shards": 3})
        rank_all(cut, tmp_path / "fresh")
        assert len(app.sent) == count
    assert table(Workspace.of(cut, tmp_path / "fresh"), "preferences").equals(made[0])


def test_a_night_that_moves_the_scores_compares_the_new_neighbours(tmp_path: Path) -> None:
    app = App(Settings())
    (tmp_path / "mood").write_text("fair")
    with serving(app) as url:
        look = {"kind": "test-fickle", "mood": str(tmp_path / "mood")}
        schedule = {"relabel": "0 2 * * *", "audit_fraction": 1.0}
        made = recipe(tmp_path, url, look, schedule=schedule)
        rank_all(made, tmp_path / "data")
        workspace = Workspace.of(made, tmp_path / "data")
        before, count = asked(made, tmp_path / "data"), len(app.sent)
        (tmp_path / "mood").write_text("grim")
        drifts = audit(made, workspace, datetime(2026, 3, 1, 2, tzinfo=UTC))
        after = asked(made, tmp_path / "data")
        assert [one.judge for one in drifts] == ["first-look", "duel"]
        assert after != before
        assert len(app.sent) - count == (len(after - before) + len(after)) * 2, "the new ones, then each again"
        prefer(made, workspace)
    preferences = table(workspace, "preferences")
    assert preferences.get_column("scores").struct.field("duel").null_count() == 0


def test_the_graph_runs_the_guide_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAIRWRIGHT_DATA", str(tmp_path / "data"))
    app = App(Settings())
    with serving(app) as url:
        made = recipe(tmp_path, url)
        assert [judge.name for judge in guides_first(made)] == ["first-look", "duel"]
        job = definitions([made]).resolve_job_def(job_name(made))
        with dg.DagsterInstance.ephemeral() as instance:
            assert job.execute_in_process(instance=instance, tags=every_shard(made)).success
    assert len(app.sent) == PROMPTS * (RESPONSES - 1) * 2


def test_a_guide_without_verdicts_is_named(tmp_path: Path) -> None:
    made = recipe(tmp_path, "http://127.0.0.1:9/v1")
    workspace = Workspace.of(made, tmp_path / "data")
    take_in(made, workspace)
    with pytest.raises(StoreError, match="duel goes by the scores of first-look, which has none yet"):
        judge_shard(judges_of(made)[0], workspace, next(workspace.each_shard()))


@pytest.mark.parametrize(
    ("duel", "guide", "message"),
    [
        ({"pairs": "adjacent", "pairs_by": "rubrik"}, {}, "'duel' goes by 'rubrik', which is no other judge"),
        ({"pairs": "adjacent", "pairs_by": "duel"}, {}, "'duel' goes by 'duel', which is no other judge"),
        ({"pairs": "adjacent"}, {}, "pairs is 'adjacent' and pairs_by is None"),
        ({"pairs_by": "first-look"}, {}, "pairs is 'sampled' and pairs_by is 'first-look'"),
        (
            {"pairs": "adjacent", "pairs_by": "first-look"},
            {"kind": "llm-pairwise", "model": "m", "pairs": "adjacent", "pairs_by": "duel"},
            "in a circle: duel → first-look → duel",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    duel: dict[str, Any], guide: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        recipe(tmp_path, "http://127.0.0.1:9/v1", guide, pairs_of_duel=duel)
    assert "\n" not in str(caught.value)
