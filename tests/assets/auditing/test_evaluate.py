"""Agreement with gold labels: counted right, beside its baselines, for judges of every sort."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from click.testing import CliRunner
from helpers import write_jsonl

from pairwright.assets.auditing.agreement import Agreement, agreement
from pairwright.assets.auditing.evaluate import Evaluation, as_json, evaluate
from pairwright.assets.auditing.gold_columns import Choice
from pairwright.cli import main
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


def by_name(found: Evaluation) -> dict[str, Agreement]:
    return {one.judge: one for one in found.agreements if one.group is None}


def test_each_judge_stands_beside_longer_wins_and_a_coin(tmp_path: Path) -> None:
    path = gold(tmp_path, [row(1, "a"), row(2, "b", a=BAD, b=GOOD), row(3, "b"), row(4, "tie")])
    whole = evaluate(recipe(tmp_path, [{"kind": "bleu"}]), path, tmp_path / "data")
    found = by_name(whole)
    assert list(found) == ["jury", "bleu", "longer-wins", "random"]
    assert found["bleu"].n == 3 and found["bleu"].agreement == pytest.approx(2 / 3)
    assert found["longer-wins"].agreement == pytest.approx(2 / 3)
    told = json.loads(as_json(whole))
    assert (told["rows"], told["used"], told["tied"], told["left_out"]) == (4, 3, 1, {})
    jury = told["judges"][0]
    figures = {"judge", "n", "prompts", "agreement", "low", "high", "ties", "by_margin"}
    figures |= {"longer_wins", "random", "left_out", "picks_longer", "against_longer", "against_best"}
    assert set(jury) == figures
    assert [step["top"] for step in jury["by_margin"]] == [1.0, 0.75, 0.5, 0.25]


def test_a_tie_of_the_scores_counts_one_half() -> None:
    margins = pl.DataFrame({"prompt_id": ["p", "q"], "won": [1.0, 0.0], "m:x": [0.0, -2.0]})
    one = agreement("x", margins)
    assert one.ties == 1 and one.agreement == 0.75 and one.by_margin[-1].agreement == 1.0


def test_a_judge_without_scores_has_no_figure(tmp_path: Path) -> None:
    rows = [{name: value for name, value in row(1, "a").items() if name != "references"}]
    found = by_name(evaluate(recipe(tmp_path, [{"kind": "bleu"}]), gold(tmp_path, rows), tmp_path))
    assert found["bleu"].left_out == {"the prompt has no reference to compare with": 1}
    assert found["bleu"].n == 0 and math.isnan(found["bleu"].agreement) and found["longer-wins"].n == 1


def test_judges_over_a_model_are_evaluated_like_the_others(tmp_path: Path) -> None:
    strong, weak = (str(SHIPPED / "tiny" / name) for name in ("strong", "weak"))
    judges = [{"kind": "density-ratio", "strong": strong, "weak": weak}, {"kind": "bleu"}]
    found = by_name(evaluate(recipe(tmp_path, judges), gold(tmp_path, [row(1, "a")]), tmp_path))
    assert found["density-ratio"].n == found["jury"].n == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [({"human_label": "first"}, "human_label 'first' is unknown; allowed: a, b, tie"), ({"prompt": None}, "no rows")],
)
def test_unusable_gold_is_told(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        evaluate(recipe(tmp_path, [{"kind": "bleu"}]), gold(tmp_path, [row(1, "a") | change]), tmp_path)


def test_every_row_is_used_tied_or_left_out_for_a_reason(tmp_path: Path) -> None:
    rows: list[Any] = [
        row(1, "A"),
        row(2, "tie"),
        row(3, "b") | {"human_label": None},
        row(4, "b") | {"response_b": None},
        row(5, "a") | {"prompt": [{"role": "assistant", "content": "no"}]},
        row(6, "a", a=GOOD, b=GOOD),
        row(7, "a") | {"references": 7},
        "no record",
    ]
    path = write_jsonl(tmp_path / "gold.jsonl", rows)
    found = evaluate(recipe(tmp_path, [{"kind": "bleu"}]), path, tmp_path / "data")
    assert (found.rows, found.used, found.tied) == (8, 1, 1)
    assert found.left_out == {
        "human_label is missing": 1,
        "response_b is missing": 1,
        "prompt ends with the assistant's turn, expected the user's or a tool's": 1,
        "both responses are the same text": 1,
        "references is int (7), expected a text": 1,
        "the record is str ('no record'), expected an object": 1,
    }


def test_what_else_a_row_says_of_its_prompt_loses_no_pair(tmp_path: Path) -> None:
    """As in sets that keep several pairs of a prompt, each from another source."""
    extra = ("source", "tags", "split", "license", "tests", "policies", "system", "won", "a_id", "prompt_id", "row")
    rows = [row(1, "a", b=f"{BAD} {i}") | dict.fromkeys(extra, f"value {i}") for i in range(6)]
    found = evaluate(
        recipe(tmp_path, [{"kind": "bleu"}]), gold(tmp_path, rows), tmp_path / "data", choice=Choice(by="won")
    )
    assert (found.used, found.left_out) == (6, {})
    assert {one.group for one in found.agreements} == {None, *(f"value {i}" for i in range(6))}


def test_pairs_that_are_lost_to_a_contradiction_are_counted(tmp_path: Path) -> None:
    rows = [row(1, "a"), row(1, "a", b=BAD + " So.") | {"references": ["another"]}, row(2, "a")]
    found = evaluate(recipe(tmp_path, [{"kind": "bleu"}]), gold(tmp_path, rows), tmp_path / "data")
    assert found.used + sum(found.left_out.values()) == found.rows == 3
    assert all("the same prompt came with other references" in one for one in found.left_out)


def test_groups_by_values_that_are_missing_or_lists_or_numbers(tmp_path: Path) -> None:
    values: list[Any] = [["x", "y"], ["x"], [], None, 3, True]
    path = write_jsonl(tmp_path / "gold.jsonl", [row(i, "a") | {"kind": one} for i, one in enumerate(values)])
    found = evaluate(recipe(tmp_path, [{"kind": "length"}]), path, tmp_path / "data", choice=Choice(by="kind"))
    counts = {one.group: one.n for one in found.agreements if one.judge == "length"}
    assert counts == {None: 6, "(none)": 2, "3": 1, "true": 1, "x": 2, "y": 1}


def test_gold_is_found_from_here_or_beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "recipes").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    content = {"dataset": "d", "prompts": {"source": "none.jsonl"}, "judges": [{"kind": "length"}]}
    (tmp_path / "recipes" / "r.yaml").write_text(yaml.safe_dump(content))
    line = ["evaluate", "../recipes/r.yaml", "--gold", "gold.parquet", "--data", str(tmp_path / "data")]
    done = CliRunner().invoke(main, line)
    places = [str(tmp_path / folder / "gold.parquet") for folder in ("here", "recipes")]
    assert done.exit_code == 1 and done.stderr.strip() == f"error: no gold at {places[0]} nor at {places[1]}"
    gold(tmp_path / "recipes", [row(1, "a"), row(2, "b"), row(3, "tie"), row(4, "a") | {"response_a": None}])
    done = CliRunner().invoke(main, line)
    assert done.exit_code == 0, done.output
    first = "gold.parquet: 4 rows, 2 pairs used, 1 labelled tie, 1 left out (1: response_a is missing)"
    assert first in done.output and "longer" in done.output


def test_messages_name_the_columns_of_the_file_alone(tmp_path: Path) -> None:
    path = gold(tmp_path, [row(1, "a")])
    with pytest.raises(SourceError) as raised:
        evaluate(recipe(tmp_path, [{"kind": "length"}]), path, tmp_path / "data", choice=Choice(by="domian"))
    assert str(raised.value).endswith(
        "no column 'domian' to group by; it has prompt, response_a, response_b, human_label, references"
    )
    pl.DataFrame([row(1, "a")]).drop("human_label").write_parquet(path)
    with pytest.raises(
        SourceError, match=r"no column 'human_label'; it has prompt, response_a, response_b, references; gold wants"
    ):
        evaluate(recipe(tmp_path, [{"kind": "length"}]), path, tmp_path / "data")
