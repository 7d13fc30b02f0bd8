"""Agreement with gold labels: counted right, beside its baselines, for judges of every sort."""

import json
import math
from pathlib import Path

import polars as pl
import pytest

from pairwright.assets.evaluate import agreement, as_json, evaluate
from pairwright.pipelines.recipes import SHIPPED
from pairwright.schemas.errors import SourceError
from pairwright.schemas.reading import parse_recipe

GOOD = "Soak the rice, rinse it until the water runs clear, then simmer it covered for twelve minutes."
BAD = "Clouds are white because they are far away."


def recipe(folder: Path, judges: list[dict]):
    content = {"dataset": "d", "prompts": {"source": "none.jsonl"}, "shards": 2, "judges": judges}
    return parse_recipe(content, folder / "recipe.yaml")


def gold(folder: Path, rows: list[dict]) -> Path:
    path = folder / "gold.parquet"
    pl.DataFrame(rows).write_parquet(path)
    return path


def row(number: int, label: str, a: str = GOOD, b: str = BAD) -> dict:
    prompt = f"How do I cook {number} cups of rice?"
    return {"prompt": prompt, "response_a": a, "response_b": b, "human_label": label, "references": [GOOD + " Enjoy."]}


def test_each_judge_stands_beside_longer_wins_and_a_coin(tmp_path: Path) -> None:
    path = gold(tmp_path, [row(1, "a"), row(2, "b", a=BAD, b=GOOD), row(3, "b"), row(4, "tie")])
    found = {one.judge: one for one in evaluate(recipe(tmp_path, [{"kind": "bleu"}]), path, tmp_path / "data")}
    assert list(found) == ["jury", "bleu", "longer-wins", "random"]
    assert found["bleu"].n == 3 and found["bleu"].agreement == pytest.approx(2 / 3)
    assert found["longer-wins"].agreement == pytest.approx(2 / 3)
    rows = json.loads(as_json(list(found.values())))
    assert set(rows[0]) == {"judge", "n", "prompts", "agreement", "low", "high", "ties", "by_margin"}
    assert [step["top"] for step in rows[0]["by_margin"]] == [1.0, 0.75, 0.5, 0.25]


def test_a_tie_of_the_scores_counts_one_half() -> None:
    margins = pl.DataFrame({"prompt_id": ["p", "q"], "won": [1.0, 0.0], "m:x": [0.0, -2.0]})
    one = agreement("x", margins)
    assert one.ties == 1 and one.agreement == 0.75 and one.by_margin[-1].agreement == 1.0


def test_a_judge_without_scores_has_no_figure(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row(1, "a").items() if name != "references"}]
    found = {one.judge: one for one in evaluate(recipe(tmp_path, [{"kind": "bleu"}]), gold(tmp_path, rows), tmp_path)}
    assert found["bleu"].n == 0 and math.isnan(found["bleu"].agreement) and found["longer-wins"].n == 1


def test_judges_over_a_model_are_evaluated_like_the_others(tmp_path: Path) -> None:
    strong, weak = (str(SHIPPED / "tiny" / name) for name in ("strong", "weak"))
    judges = [{"kind": "density-ratio", "strong": strong, "weak": weak}, {"kind": "bleu"}]
    found = {one.judge: one for one in evaluate(recipe(tmp_path, judges), gold(tmp_path, [row(1, "a")]), tmp_path)}
    assert found["density-ratio"].n == found["jury"].n == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [({"human_label": "first"}, "human_label 'first' is unknown; allowed: a, b, tie"), ({"prompt": None}, "no rows")],
)
def test_unusable_gold_is_told(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        evaluate(recipe(tmp_path, [{"kind": "bleu"}]), gold(tmp_path, [row(1, "a") | change]), tmp_path)
