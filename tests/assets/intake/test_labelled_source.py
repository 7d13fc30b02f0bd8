"""Sets that are preferences already, from their rows to a release: nobody is asked, and every figure is the labels'."""

import json
import math
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import SHARED, build, recipe_of, table, wide, write_jsonl
from hypothesis import given, settings
from hypothesis import strategies as st

from pairwright.assets.auditing.given_labels import against_labels, disagreement_stages
from pairwright.assets.intake.label_shape import labelled_columns
from pairwright.assets.intake.records import Records
from pairwright.assets.intake.said_rows import conform_labelled
from pairwright.assets.intake.source import take_in
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import PairwrightError, RecipeError, SourceError
from pairwright.schemas.recipe import Recipe
from pairwright.schemas.sources import ColumnMap

SIDES = {"chosen": "chosen", "rejected": "rejected"}
VOTES = {"response_a": "response_a", "response_b": "response_b", "label": "label", "annotator": "annotator"}


def recipe(folder: Path, rows: list[Any], columns: dict[str, Any], **parts: Any) -> Recipe:
    write_jsonl(folder / "rows.jsonl", rows)
    source = {"source": "rows.jsonl", "columns": columns}
    return recipe_of(folder, "rows.jsonl", **({"judges": [{"kind": "label"}], "prompts": source} | parts))


def votes(*labels: Any, **more: Any) -> list[dict[str, Any]]:
    sides = {"prompt": "q", "response_a": "x", "response_b": "y"}
    return [{**sides, "label": label, "annotator": f"who-{n}", **more} for n, label in enumerate(labels)]


def pairs_of(workspace: Workspace) -> pl.DataFrame:
    texts = table(workspace, "responses").select("response_id", "text")
    pairs = table(workspace, "pairs")
    for side in ("chosen", "rejected"):
        pairs = pairs.join(texts.rename({"response_id": f"{side}_id", "text": side}), on=f"{side}_id")
    return pairs


def test_chosen_and_rejected_are_released_as_they_are(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    rows = [{side: [*turns, {"role": "assistant", "content": f"{side} text"}] for side in SIDES}]
    rows[0] |= {"score_chosen": 2.0, "score_rejected": 0.5}
    rows.append({"prompt": "another", "chosen": "x", "rejected": "y", "score_chosen": 9, "score_rejected": "1"})
    columns = {**SIDES, "scores": {"rm": ["score_chosen", "score_rejected"]}}
    judges = [{"kind": "label"}, {"kind": "score", "of": "rm", "name": "rm"}]
    margin = {"kind": "margin", "by": "rm"}
    filters = [{**margin, "minimum": 1}, {**margin, "name": "wider", "minimum": 2}]
    build(recipe(tmp_path, rows, columns, judges=judges, filters=filters), tmp_path)
    workspace = Workspace(tmp_path, "tested", 2)
    assert turns in table(workspace, "prompts").get_column("messages").to_list()
    pair = pairs_of(workspace).filter(pl.col("chosen") == "chosen text").row(0, named=True)
    assert (pair["chosen"], pair["rejected"], pair["filter_margin"]) == ("chosen text", "rejected text", 1.5)
    assert pair["kept_margin"] and not pair["kept_wider"]


def test_votes_of_several_annotators_weigh_together_or_apart(tmp_path: Path) -> None:
    rows = votes("a", "b", "a")
    one = recipe(tmp_path, rows, VOTES)
    build(one, tmp_path / "one")
    pair = pairs_of(Workspace(tmp_path / "one", "tested", 2)).row(0, named=True)
    assert (pair["chosen"], pair["rejected"]) == ("x", "y")
    apart = [{"kind": "label", "annotators": [f"who-{n}"], "name": f"who-{n}"} for n in range(3)]
    build(recipe(tmp_path, rows, VOTES, judges=apart, jury={"weights": {"who-1": 5}}), tmp_path / "two")
    pair = pairs_of(Workspace(tmp_path / "two", "tested", 2)).row(0, named=True)
    assert (pair["chosen"], pair["label_confidence"]) == ("y", pytest.approx(1 / 3))


def test_a_changed_label_changes_the_release_and_nothing_is_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    judges = [{"kind": "label"}, {"kind": "test-counting", "log": str(log)}]
    parts: dict[str, Any] = {"judges": judges, "jury": {"weights": {"test-counting": 0}}}
    build(recipe(tmp_path, votes("a"), VOTES, **parts), tmp_path)
    before = log.read_text()
    build(recipe(tmp_path, votes("b"), VOTES, **parts), tmp_path)
    assert pairs_of(Workspace(tmp_path, "tested", 2)).get_column("chosen").to_list() == ["y"]
    assert log.read_text() == before


def test_judges_are_held_against_the_given_labels(tmp_path: Path) -> None:
    """`length` takes the longer: it is with the label once, against it twice, and has a tie."""
    texts = [("long text", "short"), ("x", "longer"), ("y", "longest"), ("one", "two")]
    rows = [{"prompt": f"q{n}", "chosen": good, "rejected": bad} for n, (good, bad) in enumerate(texts)]
    made = recipe(tmp_path, rows, SIDES, judges=[{"kind": "label"}, {"kind": "length"}])
    build(made, tmp_path)
    workspace = Workspace(tmp_path, "tested", 2)
    assert against_labels(made, workspace) == [
        {"judge": "length", "pairs": 4, "agrees": "37.5%", "ties": 1, "otherwise": 2}
    ]
    prompts = table(workspace, "prompts").select("prompt_id", text=pl.col("messages").list[0].struct["content"])
    named = pl.read_parquet(tmp_path / "tested" / "disagreements.parquet").get_column("prompts").to_list()[0]
    assert [prompts.filter(pl.col("prompt_id") == one).item(0, "text") for one in named] == ["q2", "q1"]
    assert disagreement_stages(recipe(tmp_path, rows, SIDES)) == []


def test_what_says_nothing_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    """Of five pairs: a good one, a word that means nothing, an annotator of two minds, no label, and a tie."""
    pair = {"response_a": "x", "response_b": "y", "annotator": "who"}
    labels = [("1", "a"), ("2", "c"), ("3", "a"), ("3", "b"), ("4", None), ("5", "tie")]
    rows = [{"prompt": prompt, **pair, "label": label} for prompt, label in labels]
    judge = {"kind": "label", "max_failure_share": 1}
    build(recipe(tmp_path, rows, VOTES, judges=[judge]), tmp_path)
    workspace = Workspace(tmp_path, "tested", 2)
    told = table(workspace, "labels").get_column("failure").drop_nulls().sort().to_list()
    assert told == ["annotator 'who' labels the same pair differently", "label 'c' is unknown; allowed: a, b, tie"]
    why = table(workspace, "preferences").get_column("unranked").drop_nulls().unique().to_list()
    assert len(pairs_of(workspace)) == 1 and table(workspace, "pairs").get_column("kept").to_list() == [True]
    assert {one for one in why if "unknown" in one or "differently" in one or "no vote" in one or "abstain" in one}


def test_scores_in_long_and_wide_form_and_scores_that_are_none(tmp_path: Path) -> None:
    long = [{"prompt": "q", "response": text, "rm": rm} for text, rm in (("x", 1), ("y", 3.5), ("z", math.nan))]
    pl.DataFrame(long, strict=False).write_parquet(tmp_path / "long.parquet")
    source = {"source": "long.parquet", "columns": {"response": "response", "scores": {"rm": "rm"}}}
    judges = [{"kind": "score", "of": "rm"}]
    build(recipe(tmp_path, [], {}, judges=judges, prompts=source), tmp_path)
    workspace = Workspace(tmp_path, "tested", 2)
    assert table(workspace, "given_scores").get_column("failure").drop_nulls().to_list() == [
        "rm is NaN, expected a finite number"
    ]
    assert pairs_of(workspace).select("chosen", "rejected").rows() == [("y", "x")]
    rows = [{"prompt": "q", "responses": ["x", "y"], "ranks": [1, 2]}]
    ranks = recipe(tmp_path, rows, {"ranks": "ranks"}, judges=[{"kind": "score", "of": "rank"}], dataset="ranked")
    build(ranks, tmp_path)
    assert pairs_of(Workspace(tmp_path, "ranked", 2)).select("chosen", "rejected").rows() == [("x", "y")]


def test_too_many_labels_that_mean_nothing_stop_the_release(tmp_path: Path) -> None:
    sides = {"response_a": "x", "response_b": "y"}
    rows = [{"prompt": f"q{n}", **sides, "label": label} for n, label in enumerate("abccc")]
    columns = {name: name for name in ("response_a", "response_b", "label")}
    with pytest.raises(PairwrightError, match=r"judge label: of 5 verdicts 3 failed .*label 'c' is unknown"):
        build(recipe(tmp_path, rows, columns), tmp_path)
    build(recipe(tmp_path, rows, {**columns, "labels": {"a": "a", "b": "b", "c": "tie"}}), tmp_path)


def test_why_rows_were_rejected_stands_in_the_card_without_what_they_hold(tmp_path: Path) -> None:
    good = {"prompt": "q", "chosen": "x", "rejected": "y"}
    made = build(recipe(tmp_path, [good, {**good, "rejected": None}, {**good, "chosen": 7}], SIDES), tmp_path)
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert "2 of 3 rows of the sources could not be used: 1 × chosen is 7, expected" in card
    assert "1 × rejected is missing." in card
    rows = [good, {**good, "split": "secret word"}]
    made = build(recipe(tmp_path, rows, SIDES, dataset="other"), tmp_path)
    card = (made.path / "README.md").read_text(encoding="utf-8")
    assert "1 of 2 rows" in card and "secret" not in card


def test_rows_that_cannot_be_used_are_rejects(tmp_path: Path) -> None:
    good = {"prompt": "q", "chosen": "x", "rejected": "y"}
    rows = [good, {**good, "rejected": None}, {**good, "rejected": "x"}, "text"]
    taken = take_in(recipe(tmp_path, rows, SIDES), Workspace(tmp_path, "tested", 2))
    assert (taken.rows, taken.rejects) == (4, 3)
    reasons = pl.read_parquet(tmp_path / "tested" / "rejects.parquet").get_column("reason").to_list()
    assert reasons[:2] == ["rejected is missing", "both responses are the same text"]
    with pytest.raises(SourceError, match=r"all 1 rows are rejected: rejected is missing"):
        take_in(recipe(tmp_path, [{**good, "rejected": None}], SIDES), Workspace(tmp_path, "tested", 2))


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"chosen": "chosen"}, "columns.chosen and columns.rejected go together"),
        ({"response_a": "a", "response_b": "b"}, "want columns.label"),
        ({**SIDES, "rejected": "nope"}, "columns name 'nope'; the source has"),
        ({"prompt": "prompt", "scores": {"rm": "chosen"}}, "name response, responses or completions"),
    ],
)
def test_columns_that_do_not_go_together_are_told(columns: dict[str, Any], why: str) -> None:
    with pytest.raises(SourceError, match=why):
        labelled_columns(ColumnMap(**columns), ["prompt", "chosen", "rejected"], "rows.jsonl")


def test_a_judge_of_what_no_source_says_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no source names labels"):
        recipe(tmp_path, wide(1), {})
    with pytest.raises(RecipeError, match=r"of is 'x'; the sources' scores \(columns.scores\): there are none"):
        recipe(tmp_path, wide(1), SIDES, judges=[{"kind": "score", "of": "x"}])


def test_yaml_numbers_are_labels(tmp_path: Path) -> None:
    rows = votes(0)
    assert recipe(tmp_path, rows, {**VOTES, "labels": {0: "a", 1: "b"}}).prompts.columns.labels == {"0": "a", "1": "b"}
    with pytest.raises(PairwrightError, match="row 1: label is 0; say what 0 and 1 mean"):
        build(recipe(tmp_path, rows, VOTES), tmp_path)


TEXTS = st.sampled_from(["x", "y", "a longer text", "", None])
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "prompt": st.sampled_from(["q", "r", " ", None]),
            "one": TEXTS,
            "two": TEXTS,
            "label": st.sampled_from(["a", "B ", "tie", "1", "", None]),
            "who": st.sampled_from(["x", "", None]),
            "s1": st.sampled_from([0.0, 1.5, math.nan, None]),
            "s2": st.sampled_from([1.0, None]),
        }
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(rows=ROWS)
def test_typed_columns_are_read_as_rows_are(rows: list[dict[str, Any]]) -> None:
    schema = {**dict.fromkeys(("prompt", "one", "two", "label", "who"), pl.String), "s1": pl.Float64, "s2": pl.Float64}
    told = ColumnMap(response_a="one", response_b="two", label="label", annotator="who", scores={"rm": ["s1", "s2"]})
    columns = labelled_columns(told, list(schema), "rows")
    assert columns is not None
    frame = pl.DataFrame(rows, schema)
    typed = conform_labelled(Records("rows", frame, [], 1), columns)
    each = conform_labelled(Records("rows", None, [(n, row, None) for n, row in enumerate(rows, 1)]), columns)
    good = each.raw.filter(pl.col("bad").is_null()).get_column("row").implode()
    assert typed.raw.get_column("bad").to_list() == each.raw.get_column("bad").to_list()
    kept = pl.col("row").is_in(good)
    for name in ("raw", "votes", "scores"):
        ours, theirs = (getattr(one, name).filter(kept).drop("excerpt", strict=False) for one in (typed, each))
        key = [one for one in ("row", "place") if one in ours.columns]
        assert ours.sort(key).to_dicts() == theirs.sort(key).to_dicts(), name


@pytest.mark.skipif(not (SHARED / "human_pairs.parquet").exists(), reason="no human_pairs.parquet beside the checkout")
def test_human_pairs_enter_as_labels_with_the_figures_of_polars_by_hand(tmp_path: Path) -> None:
    rows = pl.read_parquet(SHARED / "human_pairs.parquet")
    columns = {"response_a": "response_a", "response_b": "response_b", "label": "human_label"}
    source = {"source": str(SHARED / "human_pairs.parquet"), "columns": columns}
    filters = [{"kind": "length-ratio", "maximum": 1.5}]
    made = recipe(tmp_path, [], {}, prompts=source, filters=filters, pairs={"strategy": "all"})
    build(made, tmp_path)
    workspace = Workspace(tmp_path, "tested", 2)
    alone = rows.filter(pl.len().over("prompt") == 1).filter(pl.col("human_label") != "tie")
    a_wins = pl.col("human_label") == "a"
    sides = alone.select(
        "prompt",
        chosen=pl.when(a_wins).then("response_a").otherwise("response_b"),
        rejected=pl.when(a_wins).then("response_b").otherwise("response_a"),
    )
    ratio = pl.col("chosen").str.len_chars().clip(1) / pl.col("rejected").str.len_chars().clip(1)
    by_hand = sides.with_columns(kept=ratio <= 1.5)
    prompts = table(workspace, "prompts").select("prompt_id", prompt=pl.col("messages").list[0].struct["content"])
    found = pairs_of(workspace).join(prompts, on="prompt_id").join(alone, on="prompt", how="semi")
    order = ["prompt", "chosen", "rejected"]
    assert found.select(*order, "kept").sort(order).equals(by_hand.sort(order))


@pytest.mark.skipif(not (SHARED / "multi_response.parquet").exists(), reason="no multi_response.parquet there")
def test_multi_response_enters_as_scores_with_the_figures_of_polars_by_hand(tmp_path: Path) -> None:
    rows = pl.read_parquet(SHARED / "multi_response.parquet").drop_nulls("score")
    columns = {"response": "response", "policy": "model", "scores": {"human": "score"}}
    source = {"source": str(SHARED / "multi_response.parquet"), "columns": columns}
    filters = [{"kind": "margin", "by": "human", "minimum": 0.5}]
    build(
        recipe(
            tmp_path,
            [],
            {},
            prompts=source,
            judges=[{"kind": "score", "of": "human", "name": "human"}],
            filters=filters,
        ),
        tmp_path,
    )
    workspace = Workspace(tmp_path, "tested", 2)
    distinct = rows.group_by("prompt", "response").agg(pl.col("score").min(), most=pl.col("score").max())
    known = distinct.filter(pl.col("score") == pl.col("most"))
    spread = known.group_by("prompt").agg(span=pl.col("score").max() - pl.col("score").min(), n=pl.len())
    paired = spread.filter(pl.col("span") > 0)
    pairs = table(workspace, "pairs")
    assert pairs.height == paired.height
    assert pairs.filter("kept").height == paired.filter(pl.col("span") >= 0.5).height
    scores = table(workspace, "preferences").select(pl.col("scores").struct["human"]).to_series().drop_nulls()
    assert scores.len() == known.height and scores.mean() == pytest.approx(known.get_column("score").mean())


@pytest.mark.skipif(not (SHARED / "dialogues.parquet").exists(), reason="no dialogues.parquet beside the checkout")
def test_dialogues_enter_as_labelled_conversations(tmp_path: Path) -> None:
    """Of ranked volunteers' dialogues: the last answer against a stub; the shared turns are the prompt."""
    turns = pl.read_parquet(SHARED / "dialogues.parquet").filter(pl.col("source") == "LAION-AI/Open-Assistant")
    rows, prompts = [], set()
    for messages in turns.get_column("messages").to_list():
        plain = [{"role": one["role"], "content": one["content"]} for one in messages]
        while plain and plain[-1]["role"] != "assistant":
            plain.pop()
        if len(plain) > 1 and plain[-2]["role"] == "user":
            rows.append({"chosen": plain, "rejected": [*plain[:-1], {"role": "assistant", "content": "No idea."}]})
            prompts.add(json.dumps(plain[:-1]))
    build(recipe(tmp_path, rows, SIDES), tmp_path)
    workspace = Workspace(tmp_path, "tested", 2)
    taken = {json.dumps(one) for one in table(workspace, "prompts").get_column("messages").to_list()}
    assert taken == prompts and len(taken) > 100
    answers = {row["chosen"][-1]["content"] for row in rows}
    found = pairs_of(workspace)
    assert set(found.get_column("chosen")) <= answers and found.get_column("prompt_id").n_unique() == len(prompts)


def test_labels_may_lie_in_a_source_of_their_own(tmp_path: Path) -> None:
    """They join by content; of a prompt that nobody has, the label goes with the rest of its row."""
    write_jsonl(tmp_path / "labels.jsonl", [*votes("b"), *votes("a", prompt="unknown")])
    write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": "q", "responses": ["x", "z"]}])
    parts: dict[str, Any] = {
        "prompts": {"source": "prompts.jsonl"},
        "responses": [{"source": "labels.jsonl", "columns": VOTES}],
    }
    build(recipe(tmp_path, [], {}, **parts), tmp_path)
    workspace = Workspace(tmp_path, "tested", 2)
    assert pairs_of(workspace).select("chosen", "rejected").rows() == [("y", "x")]
    assert table(workspace, "labels").height == 1
    rejects = pl.read_parquet(tmp_path / "tested" / "rejects.parquet").get_column("reason").to_list()
    assert rejects == ["no prompt of the prompts source has this text"]


def test_whole_conversations_become_prompts_with_a_response(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}, {"from": "human", "value": "Why?"}]
    rows = [{"turns": [*turns, {"from": "gpt", "value": "x"}]}, {"turns": turns}]
    workspace = Workspace(tmp_path, "tested", 2)
    taken = take_in(recipe(tmp_path, rows, {"conversation": "turns"}, judges=[{"kind": "length"}]), workspace)
    assert (taken.prompts, taken.responses, taken.rejects) == (1, 1, 1)
    messages = table(workspace, "prompts").get_column("messages").to_list()[0]
    told = [("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")]
    assert [(one["role"], one["content"]) for one in messages] == told
