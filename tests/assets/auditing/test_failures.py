"""Answers that failed: counted, told from those that were abstained from, and in the end too many to release."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import polars as pl
import pytest
from click.testing import CliRunner
from helpers import build, calls, recipe_of, table, wide, write_jsonl
from replay_server import App, Settings, serving

from pairwright.assets.auditing.failures import Outcome, outcomes
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.verdicts import judges_of
from pairwright.assets.pairing import pair as pair_module
from pairwright.assets.pairing.pair import pair
from pairwright.assets.pairing.prefer import prefer
from pairwright.assets.pairing.rank import rank
from pairwright.assets.releasing.release import release
from pairwright.assets.report.page import page
from pairwright.assets.sampling.sample import respond, sample_shard
from pairwright.assets.stages.view import Finding, View
from pairwright.assets.storage.store import Workspace
from pairwright.cli import main
from pairwright.judges.base import Batch, Judge
from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.recipe import Recipe


class NoNumber(Judge):
    """A judge whose arithmetic is broken."""

    kind: Literal["test-no-number"] = "test-no-number"

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        yield work.responses.select("prompt_id", "response_id", criterion=pl.lit("x"), score=pl.lit(math.nan))


Recipe.model_rebuild(force=True)  # so that recipes may name the judge above


def rows(good: int, bad: int) -> list[dict[str, Any]]:
    """Prompts of four responses, of which `bad` get no score by the judge that fails at BAD."""
    found = wide(good)
    return found + [{**row, "responses": ["BAD " + text for text in row["responses"]]} for row in wide(bad, 4, good)]


@pytest.mark.parametrize(
    ("asked", "failed", "abstained", "most", "over"),
    [
        (1000, 100, 0, 0.1, False),
        (1000, 101, 0, 0.1, True),
        (1000, 101, 900, 0.1, True),  # of the hundred that it had a say on
        (5, 1, 0, 0.1, False),  # one odd row is never too many
        (1, 1, 0, 0.1, False),
        (5, 2, 0, 0.1, True),
        (1000, 1, 0, 0.0, True),  # unless none may be
        (1000, 1000, 0, 1.0, False),
        (1000, 0, 1000, 0.0, False),
        (0, 0, 0, 0.0, False),
    ],
)
def test_how_many_failures_are_too_many(asked: int, failed: int, abstained: int, most: float, over: bool) -> None:
    assert Outcome("judge", "j", asked, failed, abstained, []).is_over(most) is over


def test_a_dead_judge_beside_others_stops_the_release_and_a_raised_share_lets_it_through(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", rows(8, 2))
    log = tmp_path / "log"
    dead = {"kind": "test-counting", "name": "dead", "salt": "d", "fails": "answer", "log": str(log)}
    alive = {"kind": "test-counting", "fails": "BAD", "max_failure_share": 0.2}
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[dead, alive])
    told = (
        r"^tested: no release, since too many answers failed; judge dead: of 40 verdicts 40 failed "
        r"\(40 × 'told to fail'\), 100\.0% where 10\.0% may fail; .*`max_failure_share` at the judge"
    )
    with pytest.raises(PairwrightError, match=told):
        build(recipe, tmp_path / "data")
    assert not list((tmp_path / "data").glob("*/releases/v*"))
    assert table(Workspace.of(recipe, tmp_path / "data"), "preferences").height == 40, "all that was made is kept"
    asked = calls(log)
    judges = [{**dead, "max_failure_share": 1}, alive]
    made = build(recipe_of(tmp_path, "rows.jsonl", judges=judges, jury={"weights": {"dead": 0}}), tmp_path / "data")
    assert calls(log) == asked + asked, "the failed ones are asked again, no other"
    figures = {one["name"]: one for one in made.manifest["answers"]}
    assert [figures["dead"][name] for name in ("asked", "failed", "abstained", "share")] == [40, 40, 0, 1.0]
    assert (figures["test-counting"]["failed"], figures["test-counting"]["share"]) == (8, 0.2)
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert "| dead | test-counting | 0 | 40 | 40 | 0 | 100.0% |" in card


def test_a_share_does_not_change_what_was_judged() -> None:
    kind = type(judges_of(Recipe.model_validate(SHORT))[0])
    assert kind(max_failure_share=0.9).fingerprint == kind().fingerprint


SHORT = {"dataset": "d", "prompts": {"source": "a.jsonl"}, "judges": [{"kind": "bleu"}]}


def test_what_a_judge_cannot_value_by_nature_is_abstained_from(tmp_path: Path) -> None:
    sources = wide(20)
    for row in sources[:15]:
        del row["references"]
    write_jsonl(tmp_path / "rows.jsonl", sources)
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "bleu"}, {"kind": "test-counting"}])
    made = build(recipe, tmp_path / "data")
    bleu = next(one for one in made.manifest["answers"] if one["name"] == "bleu")
    assert (bleu["asked"], bleu["failed"], bleu["abstained"], bleu["share"]) == (80, 0, 60, 0.0)


def test_a_score_that_is_no_number_is_a_failure(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(5))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "test-counting"}, {"kind": "test-no-number"}])
    with pytest.raises(PairwrightError, match=r"test-no-number: of 20 verdicts 20 failed \(20 × 'the score is NaN"):
        build(recipe, tmp_path / "data")


@pytest.mark.parametrize("case", ["abstains", "rejected"])
def test_no_pair_says_the_counts_and_the_first_reasons(tmp_path: Path, case: str) -> None:
    sources: list[Any] = wide(6)
    if case == "rejected":
        sources = [{"prompt": "", "references": ["x"], "responses": ["a", "b"]} for _ in range(6)]
    for row in sources:
        del row["references"]
    write_jsonl(tmp_path / "rows.jsonl", sources)
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "bleu"}])
    told = {
        "abstains": r"no pair is left to release \(.*judge bleu: of 24 verdicts 24 abstained from \(24 × '.*reference",
        "rejected": r"all 6 rows are rejected: prompt is empty \(6, first row 1\)",
    }
    with pytest.raises(PairwrightError, match=told[case]):
        build(recipe, tmp_path / "data")


def test_a_policy_whose_samples_fail_stops_the_release(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(10))

    def answer(body: dict[str, Any]) -> str:
        return "" if body["messages"][-1]["content"].startswith(("question 3", "question 4")) else json.dumps(body)

    with serving(App(Settings(), answer)) as url:
        policy = {"kind": "openai", "name": "writer", "base_url": url, "model": "m", "samples": 1}
        recipe = recipe_of(tmp_path, "rows.jsonl", policies=[policy], shards=1)
        workspace = Workspace.of(recipe, tmp_path / "data")
        take_in(recipe, workspace)
        (shard,) = workspace.each_shard()
        sample_shard(recipe, recipe.policies[0], workspace, shard)  # type: ignore[arg-type]
        respond(recipe, workspace, shard)
    judge_shard(judges_of(recipe)[0], workspace, shard)
    for stage in (prefer, pair, rank):
        stage(recipe, workspace)
    with pytest.raises(PairwrightError, match=r"policy writer: of 10 samples 2 failed \(2 × '.*20\.0% where 10\.0%"):
        release(recipe, workspace)
    assert [one.name for one in outcomes(recipe, workspace)] == ["writer", "test-counting"]


def test_the_end_of_a_build_shows_failed_checks_and_every_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pairwright.assets.report.page.page", lambda *_: "")
    write_jsonl(tmp_path / "rows.jsonl", rows(27, 3))
    judge = {"kind": "test-counting", "name": "shaky", "fails": "BAD"}
    recipe = {"dataset": "tested", "prompts": {"source": "rows.jsonl"}, "judges": [judge], "shards": 1}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    result = CliRunner().invoke(main, ["build", str(tmp_path / "recipe.yaml"), "--data", str(tmp_path / "data")])
    assert result.exit_code == 0, result.output
    assert "warning: verdicts/shaky, failures: 12 of 120 rows without a score" in result.stdout
    line = next(line for line in result.stdout.splitlines() if "judge shaky" in line)
    assert [word for word in line.split() if word[0].isdigit()] == ["120", "12", "0", "10.0%"]
    assert result.stdout.splitlines()[-1].endswith("v1")
    view = pair_module.pairs_view
    found = View(findings={"sides_differ": Finding(False, "3 of 27 pairs")})
    monkeypatch.setattr(pair_module, "pairs_view", lambda *inputs: view(*inputs) | found)
    result = CliRunner().invoke(main, ["build", str(tmp_path / "recipe.yaml"), "--data", str(tmp_path / "other")])
    assert result.exit_code == 1
    told = "error: tested: no release, since a check failed (pairs, sides_differ: 3 of 27 pairs)"
    assert result.stderr.splitlines()[-1] == told


def test_the_report_states_them_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pairwright.assets.report.page._library", lambda data: "")
    write_jsonl(tmp_path / "rows.jsonl", rows(27, 3))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "test-counting", "fails": "BAD"}])
    made = build(recipe, tmp_path / "data")
    text = page(recipe, Workspace.of(recipe, tmp_path / "data"), made.manifest)
    assert "<tr><td>test-counting</td><td>120</td><td>12</td><td>0</td><td>10.0%</td>" in text
