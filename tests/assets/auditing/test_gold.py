"""Gold in other shapes than the usual one: votes of several annotators, scores and rankings, and what filters do."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from helpers import SHARED, write_jsonl

from pairwright.assets.auditing.evaluate import Evaluation, evaluate
from pairwright.assets.auditing.gold import read_gold
from pairwright.assets.auditing.gold_columns import Choice, columns_from
from pairwright.cli import main
from pairwright.schemas.errors import RecipeError, SourceError
from pairwright.schemas.reading import parse_recipe

LENGTH = [{"kind": "length"}]


def run(folder: Path, rows: list[dict[str, Any]], choice: Choice | None = None, **parts: Any) -> Evaluation:
    content = {"dataset": "d", "prompts": {"source": "none.jsonl"}, "shards": 2, "judges": LENGTH, **parts}
    path = write_jsonl(folder / "gold.jsonl", rows)
    return evaluate(parse_recipe(content, folder / "recipe.yaml"), path, folder / "data", choice or Choice())


def vote(number: int, annotator: str, label: str, a: str = "long text", b: str = "short") -> dict[str, Any]:
    sides = {"response_a": a, "response_b": b}
    return {"prompt": f"question {number}", **sides, "label": label, "annotator": annotator}


def test_several_annotators_give_a_majority_and_a_ceiling(tmp_path: Path) -> None:
    """Of `length`, which takes a: what most say of three pairs, what each says, and what they say of each other."""
    rows = [
        *(vote(1, who, label) for who, label in (("x", "a"), ("y", "a"), ("z", "b"))),
        vote(2, "x", "b"),
        vote(2, "y", "a", a="short", b="long text"),  # the same, the sides turned round
        *(vote(3, who, label) for who, label in (("x", "a"), ("y", "tie"))),
        *(vote(4, "z", label) for label in ("a", "b")),
    ]
    found = run(tmp_path, rows)
    assert (found.rows, found.pairs, found.used, found.tied) == (9, 3, 2, 1)
    assert found.left_out == {"annotator 'z' labels the same pair differently": 2}
    length = next(one for one in found.agreements if one.judge == "length")
    assert (length.n, length.agreement) == (2, 0.5)
    assert found.between is not None
    # pair 1: x and y agree both ways, z with neither: 2 of 6; pair 2: 2 of 2; pair 3: y calls x's a tie: one half
    assert found.between.n == 3 and found.between.agreement == pytest.approx((2 / 6 + 1 + 0.5) / 3)
    each = {one.annotator: (one.labels, one.agreements[1].agreement) for one in found.annotators}
    assert each == {"x": (3, pytest.approx(2 / 3)), "y": (3, 0.5), "z": (1, 0.0)}
    with_others = next(one.with_others for one in found.annotators if one.annotator == "z")
    assert with_others is not None and with_others.agreement == 0.0


def test_scores_and_rankings_are_gold(tmp_path: Path) -> None:
    lists = [{"prompt": "q", "responses": ["a", "bb", "ccc"], "ranks": [3, 1, 1]}]
    found = run(tmp_path, [*lists, {"prompt": "r", "responses": ["a"], "ranks": [1]}])
    assert (found.rows, found.pairs, found.used, found.tied) == (2, 3, 2, 1)
    assert found.left_out == {"no other response to the prompt has a score": 1}
    assert found.agreements[1].agreement == 1.0
    long = [{"question": "q", "answer": text, "rm": score} for text, score in (("a", 2), ("bb", 1.5), ("ccc", "NaN"))]
    told = Choice(columns_from(["response=answer", "scores.rm=rm"], []))
    found = run(tmp_path, [*long, {"question": "q", "answer": "dddd", "rm": None}], told)
    assert (found.used, found.agreements[1].agreement) == (1, 0.0)
    assert found.left_out == {"rm is NaN, expected a finite number": 1, "rm is missing": 1}


def test_other_words_for_labels(tmp_path: Path) -> None:
    sides = {"one": "long text", "two": "short"}
    rows = [{"prompt": f"q{i}", **sides, "verdict": word} for i, word in enumerate(("L", "R", "?"))]
    told = columns_from(["response_a=one", "response_b=two", "label=verdict"], ["L=a", "R=b"])
    found = run(tmp_path, rows, Choice(told))
    assert (found.used, found.left_out) == (2, {"verdict '?' is unknown; allowed: L, R": 1})
    assert found.shape == "two responses and verdict"


@pytest.mark.parametrize(
    ("words", "labels", "why"),
    [
        (["label"], [], "--column label: write it as in --column label=winner"),
        (["lable=x"], [], "'lable' is no column of gold; allowed: prompt, label"),
        ([], ["x=c"], "--label x=c: a label means a, b or tie"),
    ],
)
def test_choices_that_mean_nothing_are_refused(words: list[str], labels: list[str], why: str) -> None:
    with pytest.raises(SourceError, match=why):
        columns_from(words, labels)


def test_a_named_column_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no column 'winer'; it has prompt, response_a"):
        run(tmp_path, [vote(1, "x", "a")], Choice(columns_from(["label=winer"], [])))


def test_conversations_keep_their_system_turn(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    rows = [{side: [*turns, {"role": "assistant", "content": side}] for side in ("chosen", "rejected")}]
    pairs = read_gold(write_jsonl(tmp_path / "gold.jsonl", rows)).pairs
    assert pairs.get_column("prompt").to_list() == [turns] and pairs.get_column("won").to_list() == [1.0]


def test_a_filter_that_keeps_what_is_right_raises_agreement(tmp_path: Path) -> None:
    """`length` is right where it is sure: of three pairs it has the two of wide margins right."""
    wide = [vote(i, "x", "a", a="x" * 40, b="y") for i in range(2)]
    near = [vote(i, "x", "b", a="xxx", b="yy") for i in range(2, 4)]
    filters = [{"kind": "margin", "minimum": 10, "by": "length"}, {"kind": "length-ratio", "maximum": 50}]
    found = run(tmp_path, [*wide, *near], filters=filters)
    margin, ratio = found.filters
    assert (margin.filter, margin.entered, margin.left) == ("margin", 4, 2)
    assert [one.agreement for one in margin.agreements] == [1.0, 1.0]
    assert margin.change is not None and margin.change.difference == 0.5
    assert margin.change.low <= 0.5 <= margin.change.high
    assert (ratio.entered, ratio.left) == (2, 2) and ratio.change is not None and ratio.change.difference == 0.0


def test_judges_are_held_against_the_best_on_the_same_pairs(tmp_path: Path) -> None:
    rows = [{**vote(i, "x", "b"), "references": ["short"]} for i in range(4)]
    rows.append({**vote(5, "x", "a"), "references": []})  # which BLEU cannot score
    judges = [{"kind": "length"}, {"kind": "bleu"}]
    found = {one.judge: one for one in run(tmp_path, rows, judges=judges).agreements}
    assert found["bleu"].agreement == 1.0 and found["length"].agreement == pytest.approx(1 / 5)
    assert found["length"].against_best is not None and found["bleu"].against_best is None
    assert found["length"].against_best[:5] == ("bleu", 4, -1.0, -1.0, -1.0)
    assert found["bleu"].against_longer is not None and found["bleu"].against_longer[:3] == ("longer-wins", 4, 1.0)
    assert (found["length"].picks_longer, found["bleu"].picks_longer) == (1.0, 0.0)


@pytest.mark.parametrize("ending", [".parquet", ".jsonl"])
def test_the_pairs_that_differ_most_are_written_with_texts(tmp_path: Path, ending: str) -> None:
    rows = [vote(1, "x", "b"), vote(2, "x", "b", a="x" * 30), vote(3, "x", "a")]
    write_jsonl(tmp_path / "gold.jsonl", rows)
    recipe = tmp_path / "r.yaml"
    recipe.write_text("{dataset: d, prompts: {source: x.jsonl}, judges: [{kind: length}]}", encoding="utf-8")
    line = ["evaluate", str(recipe), "--gold", str(tmp_path / "gold.jsonl"), "--data", str(tmp_path / "data")]
    path = tmp_path / f"pairs{ending}"
    done = CliRunner().invoke(main, [*line, "--differences", str(path)])
    assert done.exit_code == 0, done.output
    assert "read as two responses and label" in done.output
    pairs = pl.read_parquet(path) if ending == ".parquet" else pl.read_ndjson(path)
    mine = pairs.filter(pl.col("judge") == "length").select("label", "preferred", "margin", "response_a").rows()
    assert mine == [("b", "a", 25.0, "x" * 30), ("b", "a", 4.0, "long text")]
    refused = CliRunner().invoke(main, [*line, "--differences", str(tmp_path / "pairs.csv")])
    assert refused.exit_code == 1 and "cannot write .csv" in refused.stderr


@pytest.mark.skipif(not (SHARED / "human_pairs.parquet").exists(), reason="no human_pairs.parquet beside the checkout")
def test_figures_on_human_pairs_are_those_of_polars_by_hand(tmp_path: Path) -> None:
    content = {"dataset": "d", "prompts": {"source": "none.jsonl"}, "judges": LENGTH}
    rows = pl.read_parquet(SHARED / "human_pairs.parquet").head(1_500)
    rows.write_parquet(tmp_path / "gold.parquet")
    found = evaluate(parse_recipe(content, tmp_path / "recipe.yaml"), tmp_path / "gold.parquet", tmp_path)
    decided = rows.filter(pl.col("human_label") != "tie")
    longer = (pl.col("response_a").str.len_chars().cast(pl.Int64) - pl.col("response_b").str.len_chars()).sign()
    right = decided.select(((longer * pl.when(pl.col("human_label") == "a").then(1).otherwise(-1)) + 1) / 2)
    assert (found.rows, found.used, found.tied) == (rows.height, decided.height, rows.height - decided.height)
    assert found.agreements[1].agreement == pytest.approx(right.to_series().mean())


def test_judges_that_read_what_sources_say_have_no_part_in_it(tmp_path: Path) -> None:
    source = {"source": "none.jsonl", "columns": {"chosen": "chosen", "rejected": "rejected"}}
    filters = [{"kind": "margin", "by": "label", "minimum": 1}]
    parts: dict[str, Any] = {"prompts": source, "filters": filters, "jury": {"weights": {"label": 2}}}
    found = run(tmp_path, [vote(1, "x", "a")], judges=[{"kind": "label"}, *LENGTH], **parts)
    assert {one.judge for one in found.agreements} == {"jury", "length", "longer-wins", "random"}
    assert found.filters == []
    with pytest.raises(RecipeError, match="its judges read what the sources say"):
        run(tmp_path, [vote(1, "x", "a")], judges=[{"kind": "label"}], prompts=source)


def test_tools_and_calls_are_judged_as_they_stand(tmp_path: Path) -> None:
    """Ids as the intake has them; two answers of the same text that call other tools are two responses."""
    tool = {"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}
    call = {"id": "1", "type": "function", "function": {"name": "clock", "arguments": {}}}
    asked = [{"role": "user", "content": "What time is it?"}]
    chosen = [*asked, {"role": "assistant", "content": "Let me see.", "tool_calls": [call]}]
    rows = [{"chosen": chosen, "rejected": [*asked, {"role": "assistant", "content": "Let me see."}], "tools": [tool]}]
    told = Choice(columns_from(["tools=tools"], []))
    found = run(tmp_path, rows, told)
    assert (found.used, found.left_out) == (1, {})
    assert found.agreements[1].ties == 1  # of length, which is about the text
