"""`evaluate` with judges over a server: they see the gold pairs, agree as they should, and are paid for once."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import recipe_of, write_jsonl
from replay_server import SHOWN, App, Settings, serving

from pairwright.assets.auditing.agreement import Agreement
from pairwright.assets.auditing.evaluate import Evaluation, evaluate
from pairwright.schemas.errors import BudgetError
from pairwright.schemas.recipe import Recipe

PAIRS = 12


def gold(folder: Path) -> Path:
    """Pairs of which the first is better, shown now as a and now as b; two are ties."""
    rows = []
    for i in range(PAIRS):
        better, worse = f"good answer {i}, in full", f"bad {i}"
        a, b, label = (better, worse, "a") if i % 2 else (worse, better, "b")
        rows.append({"prompt": f"question {i}", "response_a": a, "response_b": b, "human_label": label})
    rows += [{**row, "prompt": row["prompt"] + "?", "human_label": "tie"} for row in rows[:2]]
    path = folder / "gold.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def sees(body: dict[str, Any]) -> str:
    """A judge that knows good from bad, except for questions 0 to 2, where it takes what it sees first."""
    text = body["messages"][-1]["content"]
    shown = {label: response for label, _, response in SHOWN.findall(text)}
    hard = any(f"question {i}\n" in text for i in range(3))
    wanted = body["response_format"]["json_schema"]["schema"]["properties"]
    if "rating" in wanted:
        return json.dumps({"rationale": "r", "rating": 3 if hard else 5 if "good" in shown["A"] else 1})
    best = sorted(shown, key=lambda label: (0 if hard else "good" not in shown[label], label))
    return json.dumps(
        {"rationale": "r", "ranking": best} if "ranking" in wanted else {"rationale": "r", "verdict": best[0]}
    )


def recipe(folder: Path, url: str, **parts: Any) -> Recipe:
    common = {"model": "m", "base_url": url}
    judges = [
        {"name": "close-look", "kind": "llm-pairwise", "pairs": "adjacent", "pairs_by": "rubric", **common},
        {"name": "rubric", "kind": "llm-rating", "aspects": ["helpfulness"], **common},
        {"name": "list", "kind": "llm-listwise", **common},
    ]
    write_jsonl(folder / "rows.jsonl", [{"prompt": "unused", "responses": ["x", "y"]}])
    return recipe_of(folder, "rows.jsonl", judges=judges, **parts)


def by_name(found: Evaluation) -> dict[str, Agreement]:
    return {one.judge: one for one in found.agreements}


def test_judges_over_a_server_are_held_against_gold(tmp_path: Path) -> None:
    app = App(Settings(fault_rate=0.1, faults=("429-wait", "500", "torn-json", "wrong-schema"), seed=2), sees)
    path = gold(tmp_path)
    with serving(app) as url:
        found = by_name(evaluate(recipe(tmp_path, url), path, tmp_path / "data"))
        assert list(found) == ["jury", "close-look", "rubric", "list", "longer-wins", "random"]
        for name in ("close-look", "rubric", "list", "jury"):
            assert (found[name].n, found[name].ties) == (PAIRS, 3), "what depends on the order ends as a tie"
            assert found[name].agreement == pytest.approx((PAIRS - 3 + 1.5) / PAIRS)
        assert found["longer-wins"].agreement == 1.0
        count = len(app.sent)
        again = by_name(evaluate(recipe(tmp_path, url), path, tmp_path / "data"))
        assert len(app.sent) == count, "a second look pays for nothing"
    assert again == found


def test_a_budget_stops_it_and_what_was_paid_for_counts(tmp_path: Path) -> None:
    app = App(Settings(), sees)
    path = gold(tmp_path)
    with serving(app) as url:
        with pytest.raises(BudgetError, match=r"budget\.calls is 30"):
            evaluate(recipe(tmp_path, url, budget={"calls": 30}), path, tmp_path / "data")
        assert len(app.sent) == 30
        found = by_name(evaluate(recipe(tmp_path, url), path, tmp_path / "data"))
    pairs = PAIRS + 2
    assert len(app.sent) == pairs * 2 + pairs * 2 + pairs * 2, "ratings, both orders, two lists: each once"
    assert found["rubric"].n == PAIRS


def test_longer_wins_and_the_coin_are_over_the_pairs_that_a_judge_scored(tmp_path: Path) -> None:
    def fails(body: dict[str, Any]) -> str:
        text = body["messages"][-1]["content"]
        return "no answer" if any(f"question {i}\n" in text for i in range(4)) else sees(body)

    path = tmp_path / "gold.jsonl"
    rows = pl.read_parquet(gold(tmp_path)).head(PAIRS).to_dicts()
    for row in rows[:4]:  # the longer one is the worse one, where the judge fails
        worse = "response_b" if row["human_label"] == "a" else "response_a"
        row[worse] += " and on and on and on"
    write_jsonl(path, rows)
    with serving(App(Settings(), fails)) as url:
        judges = [{"name": "rubric", "kind": "llm-rating", "aspects": ["helpfulness"], "model": "m", "base_url": url}]
        write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "unused", "responses": ["x", "y"]}])
        found = evaluate(recipe_of(tmp_path, "rows.jsonl", judges=judges), path, tmp_path / "data")
    rubric, longer = by_name(found)["rubric"], by_name(found)["longer-wins"]
    assert (rubric.n, rubric.agreement, rubric.longer_wins) == (8, 1.0, 1.0)
    assert (longer.n, longer.agreement) == (PAIRS, pytest.approx(8 / 12))
    assert sum(rubric.left_out.values()) == 4 and "JSON" in next(iter(rubric.left_out))
