"""Steps of reasoning with their labels: taken in as they are, or rejected with the reason."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from helpers import build, recipe_of, table, write_jsonl

from pairwright.assets.intake.source import take_in
from pairwright.assets.publishing.export import export, format_named
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.errors import SourceError, StoreError


def taken(folder: Path, rows: list[dict[str, Any]], **columns: str) -> Workspace:
    write_jsonl(folder / "rows.jsonl", rows)
    recipe = recipe_of(folder, "", prompts={"source": "rows.jsonl", "columns": columns}, shards=1)
    workspace = Workspace.of(recipe, folder / "data")
    take_in(recipe, workspace)
    return workspace


def rejects(workspace: Workspace) -> list[str]:
    return pl.read_parquet(workspace.root / "rejects.parquet").get_column("reason").to_list()


@pytest.mark.parametrize(
    ("steps", "labels", "reason"),
    [
        (["a", "b"], [True], "2 steps but 1 step_labels"),
        (["a"], [2], "step_labels holds int (2), expected true or false"),
        (["a"], ["+"], "step_labels holds str ('+'), expected true or false"),
        (["a", " "], [True, True], "steps has an empty step"),
        (["a", 3], [True, True], "steps is int (3), expected a text"),
        ("a", [True], "steps is str ('a'), expected a list"),
        (["a"], None, "step_labels is NoneType (None), expected a list"),
        (None, None, "steps is missing"),
    ],
)
def test_steps_that_cannot_be_used_are_rejected(tmp_path: Path, steps: Any, labels: Any, reason: str) -> None:
    good = {"prompt": "q", "steps": ["so", "it is"], "step_labels": [True, False]}
    workspace = taken(tmp_path, [good, {"prompt": "r", "steps": steps, "step_labels": labels}])
    assert rejects(workspace) == [reason]
    assert table(workspace, "responses").select("text", "steps").rows() == [
        ("so\nit is", [{"text": "so", "right": 1}, {"text": "it is", "right": 0}])
    ]


def test_in_wide_form_every_response_has_a_list_or_none(tmp_path: Path) -> None:
    row = {"responses": ["a", "b"], "steps": [["a"], None], "step_labels": [[1], None]}
    bad = {"responses": ["a", "b"], "steps": [["a"]], "step_labels": [[1]]}
    workspace = taken(tmp_path, [{"prompt": "q", **row}, {"prompt": "r", **bad}, {"prompt": "s", "responses": ["a"]}])
    assert rejects(workspace) == ["steps is list ([['a']]), expected a list for each of the 2 responses"]
    found = table(workspace, "responses").select("text", pl.col("steps").is_not_null()).rows()
    assert sorted(found) == [("a", False), ("a", True), ("b", False)]


def test_steps_without_labels_are_told(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "how": ["a"], "response": "a"}]
    with pytest.raises(SourceError, match=r"columns\.steps and columns\.step_labels go together"):
        taken(tmp_path, rows, steps="how")


def test_without_steps_a_release_has_no_such_column_and_no_such_export(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", [{"prompt": "q", "responses": ["a", "bb"], "steps": "three"}])
    made = build(recipe_of(tmp_path, "rows.jsonl", release={"test_fraction": 0}), tmp_path / "data")
    rankings = pl.read_parquet(made.path / "rankings" / "train-00000.parquet")
    assert not {"steps", "step_labels"} & set(rankings.columns)
    with pytest.raises(StoreError, match=r"no response came with steps; name them in the source's `columns:"):
        export(made, format_named("trl-stepwise"), tmp_path / "out")
