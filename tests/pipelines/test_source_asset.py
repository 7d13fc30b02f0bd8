"""The sources are observed, and their bytes are read only where the file system says that they changed."""

import os
from pathlib import Path

import pytest
from helpers import recipe_of, wide, write_jsonl

from pairwright.assets.storage.store import Workspace
from pairwright.pipelines import source_sensor
from pairwright.pipelines.source_asset import observed


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = tmp_path / "rows.jsonl"
    write_jsonl(rows, wide(2))
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "length"}])
    workspace = Workspace.of(recipe, tmp_path / "data")
    read: list[Path] = []
    hashed = source_sensor.file_hash
    monkeypatch.setattr(source_sensor, "file_hash", lambda path: read.append(path) or hashed(path))
    monkeypatch.setattr(source_sensor, "SETTLED", -1.0)
    first = observed(recipe, workspace)
    assert observed(recipe, workspace) == first and len(read) == 1
    write_jsonl(rows, wide(3))
    second = observed(recipe, workspace)
    assert second != first and len(read) == 2
    (workspace.root / "sources.json").write_text("damaged")
    assert observed(recipe, workspace) == second and len(read) == 3
    os.utime(rows, (1, 1))
    assert observed(recipe, workspace) == second and len(read) == 4
