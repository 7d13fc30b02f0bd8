"""Second opinions: a drawn share is asked again, once; the audit says how often the judge contradicts itself."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import judge_all, recipe_of, table, wide, write_jsonl
from replay_server import App, Settings, judge_by_hash, serving

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.audit import AGAIN, OWN_WINS, audit, audit_view, checks_of, failures_by_kind, models_of
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.judging.verdicts import judges_of, verdicts_table
from pairwright.assets.storage.reply_ledger import budget_of, costs
from pairwright.assets.storage.store import Workspace
from pairwright.judges.llm.parse import rating, read_choice, read_order, read_ratings
from pairwright.models.serving.reply import UnusableError, answer_of, choices_of
from pairwright.pipelines.plan import plan
from pairwright.schemas.errors import BudgetError
from pairwright.schemas.recipe import Recipe

PROMPTS = 16


def recipe(folder: Path, url: str, share: float = 0.5, **parts: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", wide(PROMPTS))
    judge = {"kind": "llm-pairwise", "model": "m", "base_url": url, "audit_fraction": share, "concurrency": 4}
    return recipe_of(folder, "rows.jsonl", **{"judges": [{**judge, **parts.pop("judge", {})}], **parts})


def changes_its_mind(body: dict[str, Any], seen: Counter[str]) -> str:
    """The other way round, whatever it is, each second time."""
    text = body["messages"][-1]["content"]
    seen[text] += 1
    said = judge_by_hash(body)
    if seen[text] == 1:
        return said
    found = json.loads(said)
    if "verdict" in found:
        found["verdict"] = "B" if found["verdict"] == "A" else "A"
    elif "rating" in found:
        found["rating"] = 6 - found["rating"]
    else:
        found["ranking"] = found["ranking"][::-1]
    return json.dumps(found)


def figures(made: Recipe, data: Path) -> dict[str, tuple[float, int]]:
    workspace, judge = Workspace.of(made, data), judges_of(made)[0]
    files = workspace.files(verdicts_table(judge))
    return {one.name: (one.share, one.n) for one in audit(judge, workspace, files, models_of(made, judge))}


@pytest.mark.parametrize(
    "judge",
    [
        {"kind": "llm-pairwise"},
        {"kind": "llm-rating", "aspects": ["helpfulness", "truthfulness"]},
        {"kind": "llm-rating", "aspects": ["helpfulness"], "per_call": "all"},
        {"kind": "llm-listwise", "orders": 1},
    ],
)
def test_a_share_is_asked_twice_and_never_a_third_time(judge: dict[str, Any], tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        judge_all(recipe(tmp_path, url, 0.0, judge=judge), tmp_path / "data")
        first = len(app.sent)
        made = recipe(tmp_path, url, 0.5, judge=judge)
        workspace = Workspace.of(made, tmp_path / "data")
        planned = plan(made, workspace).total.calls
        assert 0.2 * first < planned < 0.8 * first
        judge_all(made, tmp_path / "data")
        assert len(app.sent) == first + planned
        judge_all(made, tmp_path / "data")
        judge_all(recipe(tmp_path, url, 0.3, judge=judge), tmp_path / "data")
        assert len(app.sent) == first + planned
        judge_all(recipe(tmp_path, url, 1.0, judge=judge), tmp_path / "data")
    assert set(Counter(key for key, _ in app.sent).values()) == {2}
    rows = table(workspace, verdicts_table(judges_of(made)[0]))
    assert dict(rows.group_by("round").len().rows()) == {0: rows.height // 2, 1: rows.height // 2}
    (cost,) = costs(made.judges, workspace).values()
    assert cost["calls"] == len(app.sent)
    name, n = AGAIN, figures(made, tmp_path / "data")[AGAIN][1]
    assert figures(made, tmp_path / "data")[name] == (0.0, n) and n > 0


def test_second_opinions_given_under_other_shards_are_taken_over(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        for shards, share in ((2, 0.0), (3, 0.5)):
            judge_all(recipe(tmp_path, url, share, shards=shards), tmp_path / "data")
        count = len(app.sent)
        made = recipe(tmp_path, url, 0.5, shards=2)
        assert not plan(made, Workspace.of(made, tmp_path / "data")).total.calls
        judge_all(made, tmp_path / "data")
    assert len(app.sent) == count


def test_a_plan_before_the_first_build_counts_both_rounds(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        made = recipe(tmp_path, url)
        planned = plan(made, Workspace.of(made, tmp_path / "data")).total.calls
        judge_all(made, tmp_path / "data")
    assert len(app.sent) == planned > PROMPTS * 6 * 2


def test_a_judge_that_turns_round_is_found_out(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    with serving(App(Settings(), lambda body: changes_its_mind(body, seen))) as url:
        made = recipe(tmp_path, url)
        judge_all(made, tmp_path / "data")
    workspace, judge = Workspace.of(made, tmp_path / "data"), judges_of(made)[0]
    share, n = figures(made, tmp_path / "data")[AGAIN]
    assert share == 1.0 and n > 10
    view = audit_view(judge, workspace, workspace.files(verdicts_table(judge)))
    found = f"100.0% of {n} (at temperature 0 this measures the server only)"
    assert view.findings["watch_retest"] == (False, found) and view.numbers[AGAIN] == 1.0
    assert "server only" in checks_of(judge)["watch_retest"] and "server" not in checks_of(judge)["watch_flips"]
    drawing = judge.model_copy(update={"temperature": 1.0})
    assert "server" not in checks_of(drawing)["watch_retest"]


def test_stopped_in_the_middle_it_goes_on_where_it_was(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        first = PROMPTS * 6 * 2
        made = recipe(tmp_path, url, 1.0, shards=1, budget={"calls": first + 50})
        workspace = Workspace.of(made, tmp_path / "data")
        take_in(made, workspace)
        (shard,) = workspace.each_shard()
        with pytest.raises(BudgetError):
            judge_shard(judges_of(made)[0], workspace, shard, budget_of(made, workspace))
        assert len(app.sent) == first + 50
        judge_shard(judges_of(made)[0], workspace, shard)
    assert set(Counter(key for key, _ in app.sent).values()) == {2}


def test_a_second_answer_that_fails_leaves_the_first_and_is_asked_for_again(tmp_path: Path) -> None:
    app = App(Settings())
    with serving(app) as url:
        judge_all(recipe(tmp_path, url, 0.0), tmp_path / "data")
        app.settings = Settings(fault_rate=1.0, faults=("empty",))
        made = recipe(tmp_path, url)
        before = table(Workspace.of(made, tmp_path / "data"), verdicts_table(judges_of(made)[0]))
        judge_all(made, tmp_path / "data")
        assert table(Workspace.of(made, tmp_path / "data"), verdicts_table(judges_of(made)[0])).equals(before)
        app.settings, count = Settings(), len(app.sent)
        judge_all(made, tmp_path / "data")
        again = len(app.sent) - count
        rows = table(Workspace.of(made, tmp_path / "data"), verdicts_table(judges_of(made)[0]))
    assert rows.filter(round=1).height * 2 == again > 0


@pytest.mark.parametrize("judge", [{"kind": "llm-pairwise", "pairs": "all"}, {"kind": "llm-rating"}])
def test_a_judge_that_prefers_its_own_model_is_found_out(judge: dict[str, Any], tmp_path: Path) -> None:
    rows = [
        {
            "prompt": f"question {i}",
            "responses": [f"mine {i}", f"theirs {i}", f"others {i}"],
            "policies": ["m", "x", "y"],
        }
        for i in range(5)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)

    def answer(body: dict[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        if judge["kind"] == "llm-rating":
            return json.dumps({"rationale": "r", "rating": 5 if "\nmine" in text else 2})
        a = text.index("BEGIN RESPONSE A")
        first = "mine" in text[a : text.index("END RESPONSE A", a)]
        return json.dumps({"rationale": "r", "verdict": "A" if first else "B" if "\nmine" in text else "tie"})

    with serving(App(Settings(), answer)) as url:
        made = recipe_of(tmp_path, "rows.jsonl", judges=[{**judge, "model": "m", "base_url": url}])
        judge_all(made, tmp_path / "data")
        share, n = figures(made, tmp_path / "data")[OWN_WINS]
        assert share == 1.0 and n >= 10
        other = recipe_of(tmp_path, "rows.jsonl", judges=[{**judge, "model": "z", "base_url": url}])
        judge_all(other, tmp_path / "data")
        assert OWN_WINS not in figures(other, tmp_path / "data")


def test_a_policy_of_the_same_model_is_its_own_by_whatever_name(tmp_path: Path) -> None:
    policy = {"name": "writer", "kind": "openai", "model": "m"}
    made = recipe(tmp_path, "http://127.0.0.1:9/v1", policies=[policy, {**policy, "name": "rival", "model": "r"}])
    assert models_of(made, judges_of(made)[0]) == {"m", "writer"}


def reason(read: Any) -> str:
    with pytest.raises(UnusableError) as caught:
        read()
    return str(caught.value)


def test_failures_are_counted_by_kind() -> None:
    def body(**choice: Any) -> str:
        message = {"content": choice.pop("content", "x"), "refusal": choice.pop("refusal", None)}
        return json.dumps({"choices": [{"message": message, **choice}]})

    kinds = {
        reason(lambda: answer_of(body(refusal="I cannot"))): "refused",
        reason(lambda: answer_of(body(finish_reason="length"))): "truncated",
        reason(lambda: answer_of(body(content=""))): "empty answer",
        reason(lambda: choices_of("<html>")): "broken reply",
        reason(lambda: choices_of("{}")): "broken reply",
        reason(lambda: read_choice("A!", "verdict", "AB")): "no verdict in the form",
        reason(lambda: read_choice('{"verdict": "C"}', "verdict", "AB")): "wrong labels",
        reason(lambda: read_choice('{"verdict": "A"} {"verdict": "B"}', "verdict", "AB")): "contradicts itself",
        reason(lambda: rating(45, "rating", 1, 5, False)): "off the scale",
        reason(lambda: rating("high", "rating", 1, 5, False)): "off the scale",
        reason(lambda: read_order('{"ranking": ["A"]}', "AB")): "wrong labels",
        reason(lambda: read_ratings('{"ratings": []}', "AB", 1, 5, False)): "wrong labels",
        "gave up after 9 lost requests: status 500: x": "no reply",
        "status 400: context too long": "no reply",
        "something new": "other",
    }
    counted = failures_by_kind(pl.DataFrame({"failure": [*kinds, None, "not applicable"]}).lazy())
    assert dict(counted.rows()) == Counter(kinds.values())
