"""Explaining while a build replaces the tables: one build's answer, or a line that says why there is none."""

from pathlib import Path

import polars as pl
import pytest
from helpers import build, recipe_of, table, wide, write_jsonl

from pairwright.assets.pairing.prefer import prefer
from pairwright.assets.releasing import explain as module
from pairwright.assets.releasing.explain import explain
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import StoreError


def test_tables_of_two_builds_are_not_mixed(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    judges = [{"kind": "length"}, {"kind": "bleu"}]
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=judges)
    made = build(recipe, tmp_path / "data")
    row = pl.read_parquet(made.path / "pairs" / "train-00000.parquet").row(0, named=True)
    before = explain(row["pair_id"], tmp_path / "data")
    other = recipe_of(tmp_path, "rows.jsonl", judges=judges, jury={"weights": {"length": 5.0}})
    prefer(other, Workspace.of(other, tmp_path / "data"))
    for identifier in (row["pair_id"], row["prompt_id"]):
        with pytest.raises(StoreError, match="the tables of tested are of two builds"):
            explain(identifier, tmp_path / "data")
    build(recipe, tmp_path / "data")
    assert explain(row["pair_id"], tmp_path / "data") == before


def test_a_table_that_is_replaced_under_it_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(4))
    judges = [{"kind": "length"}, {"kind": "bleu"}]
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=judges)
    other = recipe_of(tmp_path, "rows.jsonl", judges=judges, jury={"weights": {"length": 5.0}})
    build(recipe, tmp_path / "data")
    prompt = table(Workspace.of(recipe, tmp_path / "data"), "prompts").item(0, "prompt_id")
    matches, builds = module._matches, [other]

    def replaced(identifier: str, folder: Path) -> list[tuple[Path, str, str]]:
        found = matches(identifier, folder)
        if builds:
            build(builds.pop(), tmp_path / "data")
        return found

    monkeypatch.setattr(module, "_matches", replaced)
    found = explain(prompt, tmp_path / "data")
    assert not builds
    assert found == explain(prompt, tmp_path / "data")
