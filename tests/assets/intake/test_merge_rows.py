"""Rows that repeat a prompt, a text or an attribute."""

import random
from pathlib import Path

import polars as pl
import pytest
from helpers import SHARED, table, write_jsonl
from taking_in import notices, rejects, taken, texts


def test_rows_that_repeat_a_prompt_keep_their_responses_whatever_the_order(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "domain": "b", "references": ["1"], "tags": ["x"], "responses": ["x"]},
        {"prompt": "q", "domain": "a", "references": ["2", "1"], "source": "s", "responses": ["y"]},
        {"prompt": "q", "license": "mit", "responses": ["z"]},
        {"prompt": [{"role": "user", "content": "q"}], "tags": ["w", "x"], "domain": "c", "responses": ["w", "v"]},
        {"prompt": "other", "references": ["2", "2"], "responses": ["x"]},
    ]
    seen = set()
    for seed in range(6):
        random.Random(seed).shuffle(rows)
        write_jsonl(tmp_path / "a.jsonl", rows)
        made, workspace = taken(tmp_path, "a.jsonl")
        assert (made.prompts, made.responses, made.rejects, made.notices) == (2, 6, 0, 2)
        prompts = table(workspace, "prompts").drop("messages", "sketch")
        seen.add(
            (str(prompts.to_dicts()), str(texts(workspace)), str(sorted(reason for _, reason in notices(workspace))))
        )
    assert len(seen) == 1
    assert texts(workspace) == {"q": ["v", "w", "x", "y", "z"], "other": ["x"]}
    told = {reason.rpartition(" other ")[2] for _, reason in notices(workspace)}
    assert told == {"references, domain", "tags, domain"}
    found = {row["license"]: row for row in prompts.to_dicts()}
    assert found[None]["references"] == ["2", "2"], "what no other row contradicts stays as it is"
    assert (found["mit"]["references"], found["mit"]["tags"]) == (["1", "2"], ["w", "x"]), "the union"
    assert (found["mit"]["domain"], found["mit"]["source"]) == ("c", None), "of the row that has the say"


def test_rows_that_say_the_same_of_a_prompt_have_the_ids_that_they_always_had(tmp_path: Path) -> None:
    """Verdicts are kept under these."""
    rows = [
        {"prompt": "q", "references": ["1", "2"], "responses": ["x"]},
        {"prompt": "q", "tags": ["t"], "domain": "d", "responses": ["y"]},
        {"prompt": "q", "references": ["1", "2"], "domain": "d"},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    made, workspace = taken(tmp_path, "a.jsonl")
    assert (made.rejects, made.notices) == (0, 0)
    row = table(workspace, "prompts").row(0, named=True)
    assert (row["prompt_id"], row["references_id"]) == ("b4dcc44807e4d39c51288a58", "5c9fbd2720aee4357d1745e5")
    assert (row["references"], row["tags"], row["domain"]) == (["1", "2"], ["t"], "d")


def test_a_prompt_that_is_in_two_splits_is_held_out(tmp_path: Path) -> None:
    rows = [{"prompt": name, "split": split} for name in "abc" for split in ("train", "dev", "test")[: ord(name) - 96]]
    write_jsonl(tmp_path / "a.jsonl", rows)
    made, workspace = taken(tmp_path, "a.jsonl")
    found = table(workspace, "prompts").select(pl.col("messages").list.first().struct.field("content"), "split")
    assert sorted(found.rows()) == [("a", "train"), ("b", "validation"), ("c", "test")]
    assert {reason for _, reason in notices(workspace)} == {"the same prompt came with other split"}
    assert made.notices == 3


@pytest.mark.parametrize("gold", ["human_pairs", "multi_response"])
def test_no_response_of_a_real_source_is_lost_to_attributes_that_differ(tmp_path: Path, gold: str) -> None:
    if not SHARED.is_dir():
        pytest.skip("the real data is not beside this checkout")
    columns = {"responses": ["response_a", "response_b"]} if gold == "human_pairs" else {"policy": "model"}
    made, _ = taken(tmp_path, {"source": str(SHARED / f"{gold}.parquet"), "columns": columns})
    rows = pl.read_parquet(SHARED / f"{gold}.parquet").filter(pl.col("prompt").str.strip_chars() != "")
    sides = [name for name in rows.columns if name in ("response", "response_a", "response_b")]
    long = pl.concat([rows.select("prompt", text=side).drop_nulls() for side in sides])
    assert made.responses == long.n_unique()
    assert made.notices == (0 if gold == "multi_response" else 1)


def test_notices_are_counted_however_the_rows_are_batched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"prompt": "q", "domain": domain, "responses": [f"{i}"]} for i, domain in enumerate("abbbbabab")]
    write_jsonl(tmp_path / "a.jsonl", rows)
    for batch in (1, 2, 100):
        monkeypatch.setattr("pairwright.assets.intake.read_text.BATCH", batch)
        made, _ = taken(tmp_path, "a.jsonl", dataset=f"by-{batch}")
        assert (made.notices, made.responses, made.rejects) == (6, 9, 0)


def test_references_are_compared_as_lists(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", [{"prompt": "q", "references": one} for one in (["a\x1fb"], ["a", "b"])])
    assert taken(tmp_path, "a.jsonl")[0].notices == 1


def test_the_same_text_twice_is_one_response_that_counts_both(tmp_path: Path) -> None:
    rows = [
        {"prompt": "q", "response": "a", "policy": "m"},
        {"prompt": "q", "response": "a", "policy": "n"},
        {"prompt": "q", "response": "a", "policy": ""},
        {"prompt": "q", "response": "a "},
    ]
    write_jsonl(tmp_path / "a.jsonl", rows)
    _, workspace = taken(tmp_path, "a.jsonl")
    found = table(workspace, "responses").sort("text").select("text", "policies", "sample_count").rows()
    assert found == [("a", ["m", "n", "unknown"], 3), ("a ", ["unknown"], 1)]


def test_secondary_sources_give_responses_and_nothing_else(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "p.jsonl", [{"prompt": "q", "source": "wiki", "license": "mit"}, {"prompt": "r"}])
    extra = [
        {"prompt": "q", "response": "a", "policy": "m", "source": "a model", "license": "closed", "domain": 3},
        {"prompt": "elsewhere", "response": "b"},
    ]
    write_jsonl(tmp_path / "r.jsonl", extra)
    made, workspace = taken(tmp_path, "p.jsonl", responses=[{"source": "r.jsonl"}], shards=7)
    assert texts(workspace) == {"q": ["a"], "r": []}
    assert (made.prompts, made.responses, made.rejects) == (2, 1, 1)
    assert rejects(workspace) == [(2, "no prompt of the prompts source has this text")]
    assert set(table(workspace, "prompts").get_column("license")) == {"mit", None}
