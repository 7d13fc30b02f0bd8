"""The UI in a real browser: `pairwright ui` on the demo, all of it materialised by a click, a schedule that ticks, and
a data set of hostile text that does nothing."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from browser import watched
from dagster_ui import Ui, built, keep, opened, running_ui, strangers, until
from helpers import write_jsonl
from release_folder import evil_rows

from pairwright.pipelines.recipes import DEMO

pytestmark = pytest.mark.slow
SECONDS = 420
"""Seconds that the demo, models and all, may take on a slow machine."""
GROUP = "locations/pairwright.pipelines.definitions/asset-groups"


def recipes(folder: Path) -> None:
    """The demo as it is shipped, with a schedule that is due every minute; and a data set of hostile text."""
    (folder / "recipes").mkdir()
    shutil.copytree(DEMO.parent / "tiny", folder / "recipes" / "tiny")
    demo = yaml.safe_load(DEMO.read_text())
    demo["prompts"]["source"] = str(DEMO.parent / demo["prompts"]["source"])
    demo["schedule"] = {"relabel": "* * * * *"}
    hostile = {
        "dataset": "hostile",
        "prompts": {"source": "rows.jsonl"},
        "shards": 1,
        "judges": [{"kind": "length"}],
        "filters": [{"kind": "near-identical"}],
    }
    for name, content in (("demo", demo), ("hostile", hostile)):
        (folder / "recipes" / f"{name}.yaml").write_text(yaml.safe_dump(content))
    write_jsonl(folder / "recipes" / "rows.jsonl", evil_rows())


@pytest.fixture(scope="module")
def ui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    folder = tmp_path_factory.mktemp("ui")
    recipes(folder)
    built(folder, "hostile.yaml")
    with running_ui(folder) as one:
        yield one


def test_materialise_all_of_the_demo_then_see_the_release_and_the_schedule_tick(ui: Ui) -> None:
    tab, seen = opened(ui)
    tab.goto(f"{ui.url}/{GROUP}/demo/lineage")
    tab.get_by_role("button", name=re.compile("Materialize all")).click()
    dialog = tab.get_by_role("button", name="Launch backfill")
    launched = tab.get_by_text(re.compile("Launched run"))
    dialog.or_(launched).first.wait_for()
    if dialog.is_visible():
        tab.get_by_role("button", name="All", exact=True).first.click()
        dialog.click()
    release = ui.data / "demo" / "releases" / "v1"
    until((release / "report.html").exists, SECONDS)
    assert (release / "manifest.json").exists()

    tab.goto(f"{ui.url}/runs")
    tab.get_by_text("Success", exact=True).first.wait_for()
    tab.goto(f"{ui.url}/{GROUP}/demo/lineage")
    tab.get_by_text("report", exact=True).first.wait_for()
    tab.wait_for_timeout(3_000)  # until the graph is laid out
    keep(tab, "asset-graph")
    tab.goto(f"{ui.url}/assets/demo/release?view=overview")
    tab.get_by_text("[Show Markdown]").first.wait_for()
    keep(tab, "release-asset")
    plots = 0
    for one in tab.get_by_text("[Show Markdown]").all():
        one.click()
        shown = tab.get_by_role("dialog")
        shown.locator("table, img").first.wait_for()
        if shown.locator('img[src^="data:image/png"]').count():
            plots += 1
            assert shown.locator("img").first.evaluate("image => image.naturalWidth") > 300
            keep(tab, "release", height=600)
        tab.keyboard.press("Escape")
        shown.wait_for(state="detached")
    assert plots

    tab.goto(f"{ui.url}/locations/pairwright.pipelines.definitions/schedules/demo_relabel")
    switch = tab.locator("tr", has_text="Running").locator("label")
    switch.click()
    tab.get_by_text(re.compile(r"\brequested\b", re.IGNORECASE)).first.wait_for()
    keep(tab, "schedule")
    switch.click()
    tab.close()
    assert strangers(seen) == []


@pytest.mark.parametrize("table", ["prompts", "responses", "pairs", "rankings", "preferences", "release"])
def test_hostile_text_does_nothing_in_the_previews(ui: Ui, table: str) -> None:
    tab, seen = opened(ui)
    tab.goto(f"{ui.url}/assets/hostile/{table}?view=overview")
    longer = tab.get_by_text("[Show Markdown]")  # what is short is shown at once
    longer.or_(tab.locator("table table")).first.wait_for()
    cells = inert(tab, "table table")
    for one in longer.all():
        one.click()
        tab.get_by_role("dialog").locator("table, img").first.wait_for()
        cells += inert(tab, "[role=dialog]")
        if table == "responses":
            keep(tab, "hostile")
        tab.keyboard.press("Escape")
        tab.get_by_role("dialog").wait_for(state="detached")
    assert cells >= 3
    tab.close()
    assert strangers(seen) == []


def inert(tab: Any, where: str) -> int:
    """Check that nothing under a selector was made by text; the number of table cells there."""
    made = [f"{where} {one}" for one in ("script", "iframe", "svg[onload]", "td a", 'img:not([src^="data:image/png"])')]
    assert tab.locator(", ".join([*made, "a[href^=javascript]"])).count() == 0
    tables = tab.locator(where).locator("tbody")
    for body in tables.all():
        assert len({row.locator("td").count() for row in body.locator("tr").all()}) <= 1
    return int(tables.locator("td").count())


def test_hostile_text_does_nothing_in_the_card_and_the_report(ui: Ui) -> None:
    """The card rendered as generously as Markdown can be, with HTML and bare addresses; the report as it is."""
    from markdown_it import MarkdownIt

    release = ui.data / "hostile" / "releases" / "v1"
    card = MarkdownIt("js-default", {"html": True, "linkify": False}).render((release / "README.md").read_text())
    tab, seen = watched(ui.browser, "about:")
    tab.set_content(card)
    assert tab.locator("table").count() >= 2
    assert tab.locator("script, iframe, img, svg, a").count() == 0
    tab.close()
    page, asked = watched(ui.browser)
    page.goto((release / "report.html").as_uri())
    page.wait_for_function("document.querySelectorAll('[data-plot] svg').length > 0")
    for pair in page.locator("details.pair").all():
        pair.locator("summary").click()
    assert page.locator(".text script, .text iframe, .text img, main a").count() == 0
    page.close()
    assert seen == asked == []
