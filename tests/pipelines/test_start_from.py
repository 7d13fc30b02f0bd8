"""`init --from`: the recipe for data that somebody has builds as it is written, and says what it was unsure of."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from helpers import build, recipe_of, write_jsonl

from pairwright.cli import main
from pairwright.pipelines.start_from import start_from
from pairwright.schemas.errors import SourceError
from pairwright.schemas.reading import load_recipe

Q = [{"role": "user", "content": "How long does rice cook?"}]
ANSWERED = [*Q, {"role": "assistant", "content": "x"}]
SIDES = {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}
VOTE = {"question": "q", "answer_a": "x", "answer_b": "y", "winner": "model_a", "judge": "who"}
VOTED = {"prompt": "question", "response_a": "answer_a", "response_b": "answer_b", "label": "winner"}
ITEMS = [{"response": "x", "overall_score": 1.0}, {"response": "y", "overall_score": 2.0}]
RATED = {"prompt": "prompt", "response": "response", "scores": {"helpfulness": "helpfulness"}}
SETS: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "binarized": (
        {"prompt": "q", "chosen": ANSWERED, "rejected": Q, "score_chosen": 2.0, "score_rejected": 1.0},
        {**SIDES, "scores": {"score": ["score_chosen", "score_rejected"]}},
        ["label", "score", "length"],
    ),
    "votes": (
        {**VOTE, "model_a": "m", "model_b": "n"},
        {**VOTED, "annotator": "judge", "writers": ["model_a", "model_b"]},
        ["label", "length"],
    ),
    "completions": (
        {"instruction": "q", "completions": ITEMS},
        {"prompt": "instruction", "completions": "completions", "scores": {"overall_score": "overall_score"}},
        ["overall_score", "length"],
    ),
    "ratings": (
        {"prompt": "q", "response": "x", "helpfulness": 3, "references": ["r"]},
        {**RATED, "references": "references"},
        ["helpfulness", "length", "bleu"],
    ),
    "ranks": (
        {"prompt": "q", "responses": ["x", "y"], "ranks": [2, 1]},
        {"prompt": "prompt", "responses": "responses", "ranks": "ranks"},
        ["given-rank", "length"],
    ),
    "liked or not": (
        {"prompt": "q", "completion": "x", "label": True},
        {"prompt": "prompt", "response": "completion", "scores": {"label": "label"}},
        ["label", "length"],
    ),
    "steps": (
        {"prompt": "q", "completions": ["1", "2"], "labels": [True, False]},
        {"prompt": "prompt", "steps": "completions", "step_labels": "labels"},
        ["length"],
    ),
    "answered": ({"prompt": "q", "completion": "x"}, {"prompt": "prompt", "response": "completion"}, ["length"]),
    "conversations": (
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "x"}]},
        {"conversation": "conversations"},
        ["length"],
    ),
    "prompts": ({"instruction": "q", "tags": ["t"]}, {"prompt": "instruction", "tags": "tags"}, ["length"]),
}


@pytest.mark.parametrize("name", SETS)
def test_the_shape_of_a_set_becomes_its_recipe(tmp_path: Path, name: str) -> None:
    row, columns, judges = SETS[name]
    source = write_jsonl(tmp_path / "My set.jsonl", [row])
    start_from(tmp_path / "new", str(source))
    recipe = load_recipe(tmp_path / "new" / "recipe.yaml")
    told = {field: value for field, value in recipe.prompts.columns if value}
    assert (recipe.dataset, recipe.prompts.source, told) == ("my-set", "../My set.jsonl", columns)
    assert [one.name for one in recipe.judges] == judges


def test_what_it_was_unsure_of_stands_there(tmp_path: Path) -> None:
    sides = {"prompt": "q", "response_a": "x", "response_b": "y"}
    rows = [{**sides, "label": 1, "preference": 1}, {**sides, "label": 0}, {**sides, "response_b": "x", "label": 1}]
    done = CliRunner().invoke(
        main, ["init", str(tmp_path / "new"), "--from", str(write_jsonl(tmp_path / "d.jsonl", rows))]
    )
    assert done.exit_code == 0, done.output
    text = (tmp_path / "new" / "recipe.yaml").read_text(encoding="utf-8")
    assert "# UNSURE: label: taken from label; preference could be it, too" in text
    assert "# UNSURE: label holds 0: say which side 0 and 1 stand for" in text
    assert load_recipe(tmp_path / "new" / "recipe.yaml").prompts.columns.labels == {"0": "a", "1": "b"}


def test_nothing_that_could_be_a_prompt_is_an_error(tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "d.jsonl", [{"x": 1}])
    with pytest.raises(SourceError, match="no column looks like a prompt; it has x"):
        start_from(tmp_path / "new", str(source))
    assert not (tmp_path / "new").exists()


def test_a_release_is_a_source(tmp_path: Path) -> None:
    """Its pairs by their labels, its rankings by their scores: the same prompts, texts and orders come out."""
    write_jsonl(tmp_path / "rows.jsonl", [{"prompt": f"q{i}", "responses": ["a", "bb", "ccc"]} for i in range(6)])
    made = build(recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}]), tmp_path / "data")
    pairs = pl.concat([pl.read_parquet(path) for path in sorted(made.path.glob("pairs/*.parquet"))])
    start_from(tmp_path / "new", str(made.path))
    recipe = load_recipe(tmp_path / "new" / "recipe.yaml")
    assert recipe.prompts.columns.chosen == "chosen"
    assert [one.name for one in recipe.judges] == ["label", "score", "length"]
    again = build(recipe.model_copy(update={"filters": [], "dataset": "again"}), tmp_path / "data")
    found = pl.concat([pl.read_parquet(path) for path in sorted(again.path.glob("pairs/*.parquet"))])
    same = ["prompt_id", "chosen_id", "rejected_id", "prompt", "chosen", "rejected"]
    assert found.select(same).sort("prompt_id").equals(pairs.select(same).sort("prompt_id"))
    source = {"source": str(made.path), "columns": {"responses": "responses", "scores": {"jury": "scores"}}}
    judges = [{"kind": "score", "of": "jury", "name": "given"}]
    third = build(recipe_of(tmp_path, "", dataset="third", prompts=source, judges=judges), tmp_path / "data")
    files = [sorted(one.path.glob("rankings/*.parquet")) for one in (made, third)]
    ranked = [pl.concat([pl.read_parquet(path) for path in paths]) for paths in files]
    order = ["prompt_id", "responses", "ranks"]
    assert ranked[0].select(order).sort("prompt_id").equals(ranked[1].select(order).sort("prompt_id"))
