"""The flow of a recipe: each stage after those that it reads, and the page about the house shows it as it is."""

from pathlib import Path
from typing import Any

import pytest
from helpers import recipe_of, wide, write_jsonl
from tiny_models import TINY

from pairwright.assets.flow import flow
from pairwright.pipelines.flow_picture import picture
from pairwright.pipelines.recipes import DEMO
from pairwright.schemas.reading import load_recipe

PAGE = Path(__file__).parents[2] / "docs" / "house.md"
URL = "http://127.0.0.1:1/v1"
POLICY: dict[str, Any] = {"kind": "openai", "model": "m", "base_url": URL}
RATIO = {
    "kind": "density-ratio",
    "strong": str(TINY / "strong"),
    "weak": str(TINY / "weak"),
    "domains": {"chat": {"instruction": "Chat."}, "code": {"instruction": "Code."}},
    "router": {"model": "m", "base_url": URL, "domains": {"chat": "talk", "code": "programs"}},
}
DUEL = {"kind": "llm-pairwise", "model": "m", "base_url": URL, "pairs": "adjacent", "pairs_by": "bleu"}


@pytest.mark.parametrize(
    "parts",
    [
        {"judges": [{"kind": "length"}]},
        {"judges": [{"kind": "bleu"}, RATIO, DUEL], "filters": [{"kind": "margin", "keep_fraction": 0.5}]},
        {
            "policies": [{"name": "a", **POLICY}, {"name": "b", "samples": 2, **POLICY}],
            "pool": {"size": 1},
            "filters": [{"kind": "ches", "model": str(TINY / "strong")}],
            "release": {"reference_model": str(TINY / "strong")},
        },
    ],
)
def test_each_stage_comes_after_what_it_reads(parts: dict[str, Any], tmp_path: Path) -> None:
    write_jsonl(tmp_path / "rows.jsonl", wide(2))
    stages = flow(recipe_of(tmp_path, "rows.jsonl", **parts))
    assert len({stage.name for stage in stages}) == len(stages)
    there: dict[str, bool] = {}
    for stage in stages:
        for one in stage.inputs:
            assert one.table in there, f"{stage.name} reads {one.table}, which nobody has made yet"
            assert one.fit == there[one.table]
            assert one.fit or one.every_shard or not stage.fit, "a fit has no shard of its own"
        there[stage.table] = stage.fit


def test_the_page_about_the_house_shows_the_flow() -> None:
    assert picture(load_recipe(DEMO)) in PAGE.read_text(encoding="utf-8")
