"""Rows of a prompt that came once are taken over as they are, which must come to what merging them would."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from helpers import recipe_of, write_jsonl
from polars.testing import assert_frame_equal

from pairwright.assets.intake import source_rows
from pairwright.assets.intake.media import MediaIntake
from pairwright.assets.intake.merge_rows import merged
from pairwright.assets.intake.readers import open_source
from pairwright.assets.storage.spool import unspool

ROWS: list[dict[str, Any]] = [
    {"prompt": "alone", "references": ["x", "x", ""], "tags": ["b", "a"], "split": "dev", "responses": ["1", "1", "2"]},
    {"prompt": "bare", "responses": ["1"]},
    {"prompt": "silent", "references": ["z"], "source": "s", "license": "l", "domain": "d", "responses": []},
    {"prompt": "twice", "references": ["y"], "tags": ["c"], "split": "train", "responses": ["3"]},
    {"prompt": "twice", "references": ["x"], "source": "s", "split": "test", "responses": ["3", "4"]},
]


def spooled(folder: Path, rows: Sequence[dict[str, Any]]) -> list[pl.DataFrame]:
    folder.mkdir()
    write_jsonl(folder / "rows.jsonl", list(rows))
    recipe = recipe_of(folder, "rows.jsonl", shards=1)
    source_rows.spool([open_source(recipe.sources[0], folder)], 1, folder, MediaIntake(folder / "media", folder))
    found = [unspool(folder, table, 0) for table in ("prompts", "responses")]
    return [one for one in found if one is not None]


def test_prompts_that_come_once_are_what_merging_two_equal_rows_comes_to(tmp_path: Path) -> None:
    rows, answers = spooled(tmp_path / "a", ROWS)
    once, twice = merged(rows, answers), merged(pl.concat([rows, rows]), pl.concat([answers, answers]))
    assert once.prompts.height == 4
    assert_frame_equal(once.prompts, twice.prompts)
    assert_frame_equal(once.responses.with_columns(pl.col("sample_count") * 2), twice.responses)
    assert once.notices.sort("row").equals(twice.notices.sort("row"))
    assert once.notices.height > 0


def test_without_a_row_there_is_nothing(tmp_path: Path) -> None:
    rows, answers = spooled(tmp_path / "a", ROWS)
    made = merged(rows.clear(), answers.clear())
    assert [one.height for one in made] == [0, 0, 0, 0]
    assert merged(rows.clear(), answers).rejects.height == answers["row"].n_unique()
