"""Judges as the pipeline sees them: whole prompts in, every response answered or failed for a reason."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import Counting, build, recipe_of, table, wide, write_jsonl

from pairwright.assets.intake.source import take_in
from pairwright.assets.judging import asking
from pairwright.assets.judging.judge import judge_shard, verdicts_table
from pairwright.assets.storage.store import Workspace
from pairwright.judges.base import Batch
from pairwright.judges.bleu.bleu import Bleu
from pairwright.judges.length import Length
from pairwright.schemas.errors import JudgeError
from pairwright.schemas.recipe import Recipe


def prepared(folder: Path, rows: list[dict[str, Any]], **parts: Any) -> tuple[Recipe, Workspace]:
    write_jsonl(folder / "rows.jsonl", rows)
    recipe = recipe_of(folder, "rows.jsonl", shards=1, **parts)
    workspace = Workspace.of(recipe, folder / "data")
    take_in(recipe, workspace)
    return recipe, workspace


def verdicts(judge: Any, workspace: Workspace) -> pl.DataFrame:
    (shard,) = workspace.each_shard()
    judge_shard(judge, workspace, shard)
    return table(workspace, verdicts_table(judge))


def patched(monkeypatch: pytest.MonkeyPatch, answer: Any) -> Counting:
    monkeypatch.setattr(Counting, "judge", lambda self, work: answer(work))
    return Counting()


def test_bleu_golden_values_through_the_pipeline(tmp_path: Path) -> None:
    """Computed by the bleuscore library and by hand."""
    references = ["Paris is the capital of France.", "The capital city of France is Paris, of course."]
    rows = [{"prompt": "q", "references": references, "responses": ["The capital of France is Paris.", "Paris."]}]
    _, workspace = prepared(tmp_path, rows)
    texts = table(workspace, "responses").select("response_id", "text")
    found = dict(verdicts(Bleu(), workspace).join(texts, on="response_id").select("text", "score").iter_rows())
    assert found == {
        "The capital of France is Paris.": pytest.approx(0.691442, abs=1e-6),
        "Paris.": pytest.approx(0.069025, abs=1e-6),
    }


def test_without_a_reference_there_is_a_reason_and_no_number(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "responses": ["a", "b"]}, {"prompt": "r", "references": ["a"], "responses": ["a", "b"]}]
    _, workspace = prepared(tmp_path, rows)
    found = verdicts(Bleu(), workspace)
    assert (
        found.filter(pl.col("score").is_null()).get_column("failure").to_list()
        == ["the prompt has no reference to compare with"] * 2
    )
    assert not found.get_column("retry").any(), "asking again could not help"
    assert found.height == 4


def test_a_reference_that_comes_later_is_used(tmp_path: Path) -> None:
    _, workspace = prepared(tmp_path, [{"prompt": "q", "responses": ["a", "b"]}])
    assert verdicts(Bleu(), workspace).get_column("score").null_count() == 2
    _, workspace = prepared(tmp_path, [{"prompt": "q", "references": ["a"], "responses": ["a", "b"]}])
    assert verdicts(Bleu(), workspace).get_column("score").null_count() == 2, "what was found before is kept"
    assert verdicts(Bleu(), workspace).height == 4


@pytest.mark.parametrize(("unit", "sizes"), [("characters", [0, 9, 5]), ("words", [0, 2, 3])])
def test_length_in_characters_and_words(tmp_path: Path, unit: Any, sizes: list[int]) -> None:
    rows = [{"prompt": "q", "responses": ["", " naïve 東京\n"[0:9], "a\tb c"]}]
    _, workspace = prepared(tmp_path, rows)
    texts = table(workspace, "responses").select("response_id", "text")
    found = dict(
        verdicts(Length(unit=unit), workspace).join(texts, on="response_id").select("text", "score").iter_rows()
    )
    assert [found[text] for text in rows[0]["responses"]] == sizes


def test_a_judge_gets_whole_prompts_in_order_in_bounded_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "BATCH", 10)
    seen: list[Batch] = []

    def answer(work: Batch) -> Iterator[pl.DataFrame]:
        seen.append(work)
        yield work.responses.select("prompt_id", "response_id", criterion=pl.lit("c"), score=pl.lit(1))

    _, workspace = prepared(tmp_path, wide(20))
    verdicts(patched(monkeypatch, answer), workspace)
    for work in seen:
        assert work.responses.height <= 10 + 4
        assert work.responses.group_by("prompt_id").len().get_column("len").to_list() == [4] * work.prompts.height
        assert work.prompts.get_column("prompt_id").is_sorted()
        assert work.responses.select(pl.concat_str("prompt_id", "response_id")).to_series().is_sorted()
    assert sum(work.responses.height for work in seen) == 80


@pytest.mark.parametrize("score", [float("nan"), float("inf"), float("-inf"), 1e308, -1e101])
def test_a_score_that_cannot_be_averaged_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, score: float
) -> None:
    def answer(work: Batch) -> Iterator[pl.DataFrame]:
        yield work.responses.select("prompt_id", "response_id", criterion=pl.lit("c"), score=pl.lit(score))

    _, workspace = prepared(tmp_path, wide(2))
    found = verdicts(patched(monkeypatch, answer), workspace)
    assert found.get_column("score").null_count() == 8
    assert found.get_column("failure").str.ends_with("beyond ±1e+100").all()


def test_silence_is_a_failure_that_is_tried_again_never_a_default_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(work: Batch) -> Iterator[pl.DataFrame]:
        first = work.responses.head(3).select("prompt_id", "response_id", criterion=pl.lit("c"))
        yield first.with_columns(score=pl.Series([1.0, None, 2.0]))

    _, workspace = prepared(tmp_path, wide(2))
    found = verdicts(patched(monkeypatch, answer), workspace)
    reasons = found.get_column("failure").value_counts().sort("failure", nulls_last=True).rows()
    assert reasons == [("the judge gave no answer", 5), ("the judge gave no score", 1), (None, 2)]
    assert found.get_column("retry").sum() == 6


def test_an_answer_nobody_asked_for_is_a_bug_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(work: Batch) -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"prompt_id": ["0" * 24], "response_id": ["0" * 24], "criterion": ["c"], "score": [1.0]})

    _, workspace = prepared(tmp_path, wide(2))
    with pytest.raises(JudgeError, match="was not asked about"):
        verdicts(patched(monkeypatch, answer), workspace)


def test_what_was_answered_before_a_crash_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def answer(work: Batch) -> Iterator[pl.DataFrame]:
        for rows in work.responses.iter_slices(4):
            asked.append(rows.height)
            if len(asked) == 4:
                raise RuntimeError("the server went away")
            yield rows.select("prompt_id", "response_id", criterion=pl.lit("c"), score=pl.lit(1.0))

    _, workspace = prepared(tmp_path, wide(5))
    judge = patched(monkeypatch, answer)
    with pytest.raises(RuntimeError):
        verdicts(judge, workspace)
    assert verdicts(judge, workspace).height == 20
    assert sum(asked) == 20 + 4, "only what was in flight was asked again"


def test_failed_row_does_not_shift_others(tmp_path: Path) -> None:
    """Elsewhere a failed row is dropped before a positional join, and each later label lands on the wrong prompt."""
    rows = wide(30)
    judges = [{"kind": "test-counting", "fails": "answer 0 to 3"}, {"kind": "length"}]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    recipe = recipe_of(
        tmp_path, "rows.jsonl", judges=judges, jury={"weights": {"length": 0}}, pairs={"strategy": "all"}
    )
    made = build(recipe, tmp_path / "data")
    owner = {text: row["prompt"] for row in rows for text in row["responses"]}
    scores = {text: Counting().judge(Batch(pl.DataFrame(), _one(text))) for text in owner}
    expected = {text: next(found).item(0, "score") for text, found in scores.items()}
    pairs = pl.concat([pl.read_parquet(path) for path in made.path.glob("pairs/*")])
    assert pairs.height > 100
    for row in pairs.iter_rows(named=True):
        for side in ("chosen", "rejected"):
            text = row[side][-1]["content"]
            assert owner[text] == row["prompt"][-1]["content"]
            assert row[f"{side}_scores"]["test-counting"] == expected[text]
            assert row[f"{side}_scores"]["length"] == len(text), "the judged text is the emitted text"


def _one(text: str) -> pl.DataFrame:
    return pl.DataFrame({"prompt_id": ["p"], "response_id": ["r"], "text": [text]})


def test_all_responses_and_scores_are_kept(tmp_path: Path) -> None:
    """Elsewhere the responses and scores behind a published set were never kept, and nobody can rebuild it."""
    rows = wide(10, responses=6)
    recipe, workspace = prepared(tmp_path, rows)
    build(recipe, tmp_path / "data")
    assert set(table(workspace, "responses").get_column("text")) == {text for row in rows for text in row["responses"]}
    assert table(workspace, verdicts_table(Counting())).get_column("score").null_count() == 0
    assert table(workspace, "preferences").height == 60
