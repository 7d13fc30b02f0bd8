"""Assets in a real browser: what a page says and plots, one partition alone, and an asset of a user's own."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster_ui import Ui, built, keep, opened, running_ui, strangers, until
from helpers import wide, write_jsonl

pytestmark = pytest.mark.slow
MINE = """
import os
from pathlib import Path

import dagster as dg
import polars as pl

from pairwright.pipelines.build import definitions
from pairwright.pipelines.recipes import find_recipes


@dg.asset(ins={"pairs": dg.AssetIn(["parts", "pairs"])})
def lengths(pairs: pl.DataFrame) -> dg.MaterializeResult:
    Path("lengths.txt").write_text(str(pairs.height), encoding="utf-8")
    return dg.MaterializeResult(metadata={"pairs": pairs.height})


defs = dg.Definitions.merge(definitions(find_recipes()), dg.Definitions(assets=[lengths]))
"""
"""A user's definitions: an asset downstream of pairs."""
RECIPE = {
    "dataset": "parts",
    "prompts": {"source": "rows.jsonl"},
    "shards": 3,
    "judges": [{"kind": "length"}],
    "filters": [{"kind": "near-identical"}],
}


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """Built twice, with more prompts the second time; then a second judge, of whom nothing is made."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "recipes").mkdir()
    for prompts in (30, 40):
        write_jsonl(folder / "recipes" / "rows.jsonl", wide(prompts))
        (folder / "recipes" / "parts.yaml").write_text(yaml.safe_dump(RECIPE))
        built(folder, "parts.yaml")
    judges = [{"kind": "length"}, {"kind": "length", "name": "words", "unit": "words"}]
    (folder / "recipes" / "parts.yaml").write_text(yaml.safe_dump(RECIPE | {"judges": judges}))
    (folder / "mine.py").write_text(MINE)
    with running_ui(folder, "--definitions", str(folder / "mine.py")) as one:
        yield one


def verdicts(ui: Ui) -> set[Path]:
    return set((ui.data / "parts" / "verdicts").rglob("*.parquet"))


def numbers(answers: list[Any], label: str) -> set[float]:
    """The values of a number in what the web server has told the page."""
    if isinstance(answers, list):
        return {one for answer in answers for one in numbers(answer, label)}
    if not isinstance(answers, dict):
        return set()
    mine = {answers[key] for key in ("intValue", "floatValue") if answers.get("label") == label and key in answers}
    return {one for one in mine if one is not None} | numbers(list(answers.values()), label)


def test_a_page_says_what_an_asset_is_its_columns_and_its_numbers_over_two_runs(ui: Ui) -> None:
    tab, seen = opened(ui)
    told: list[Any] = []
    tab.on("response", lambda one: told.append(one.json()) if "/graphql" in one.url and one.ok else None)
    tab.goto(f"{ui.url}/assets/parts/pairs?view=overview")
    tab.get_by_text("Candidate pairs with every filter").first.wait_for()
    tab.get_by_text("filter_near-identical").first.wait_for()
    tab.get_by_text("Difference of the two utilities.").first.wait_for()
    keep(tab, "pairs-asset")
    tab.get_by_role("button", name="Plots").click()
    tab.locator("button", has_text="Events").click()
    tab.locator("canvas").first.wait_for()
    for name in ("dagster/row_count", "kept", "new rows", "seconds"):
        tab.get_by_text(name, exact=True).first.wait_for()
    for _ in range(60):
        if numbers(told, "dagster/row_count") == {30, 40}:  # of the two builds
            break
        tab.wait_for_timeout(500)
    else:
        raise AssertionError(numbers(told, "dagster/row_count"))
    keep(tab, "pairs-plots")
    tab.close()
    assert strangers(seen) == []


def test_one_partition_is_made_alone(ui: Ui) -> None:
    tab, seen = opened(ui)
    tab.goto(f"{ui.url}/assets/parts/verdicts/words?view=overview")
    tab.get_by_role("button", name=re.compile("Materialize")).first.click()
    tab.get_by_text("Select a partition or create one").click()
    tab.get_by_role("menuitem").filter(has_text="00001").click()
    tab.get_by_text("1 partition", exact=True).wait_for()
    tab.keyboard.press("Escape")
    keep(tab, "partition-dialog")
    before = verdicts(ui)
    tab.get_by_role("button", name=re.compile("^Launch")).click()
    until(lambda: verdicts(ui) != before, 120)
    tab.goto(f"{ui.url}/runs")
    tab.get_by_text("Success", exact=True).first.wait_for()
    [made] = verdicts(ui) - before
    assert made.name.startswith("00001")
    tab.close()
    assert strangers(seen) == []


def test_an_asset_of_ones_own_takes_the_pairs(ui: Ui) -> None:
    tab, seen = opened(ui)
    tab.goto(f"{ui.url}/assets/lengths?view=overview")
    tab.get_by_role("button", name=re.compile("Materialize")).first.click()
    tab.get_by_text(re.compile("Launched run")).first.wait_for()
    told = ui.data.parent / "lengths.txt"
    until(told.exists, 120)
    assert int(told.read_text()) == 40
    tab.goto(f"{ui.url}/assets/lengths?view=overview")
    tab.locator("tr", has_text="pairs").get_by_text("40", exact=True).first.wait_for()
    keep(tab, "own-asset")
    tab.close()
    assert strangers(seen) == []
