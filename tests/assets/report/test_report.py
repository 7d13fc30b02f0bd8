"""The report: what it shows adds up, the same rows give the same bytes, and hostile text does nothing in a browser."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import pytest
from browser import chromium, watched
from helpers import build, image, recipe_of, write_jsonl
from release_folder import evil_rows

from pairwright.assets.report import figures
from pairwright.assets.report.page import _library, page, plots, report
from pairwright.assets.report.shown_turns import TEXT, block, thumbnail
from pairwright.assets.storage.media import put_bytes
from pairwright.assets.storage.store import Workspace
from pairwright.judges.base import Batch, Judge
from pairwright.schemas.recipe import Recipe


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Recipe, Path]:
    """A release in which prompts, responses and the names of policies are hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    write_jsonl(folder / "rows.jsonl", evil_rows())
    recipe = recipe_of(
        folder,
        "rows.jsonl",
        judges=[{"kind": "test-counting"}, {"kind": "length"}],
        jury={"weights": {"length": 1}},
        filters=[{"kind": "margin", "minimum": 0.4}],
    )
    build(recipe, folder / "data")
    return recipe, folder / "data"


def written(hostile: tuple[Recipe, Path]) -> Path:
    recipe, data = hostile
    workspace = Workspace.of(recipe, data)
    return report(recipe, workspace, build(recipe, data))


def test_it_is_one_small_file_without_an_address(hostile: tuple[Recipe, Path]) -> None:
    text = written(hostile).read_text()
    assert len(text) < 10_000_000
    assert "default-src 'none'" in text
    body = text[: text.index('<script type="application/json"')]
    assert not re.search(r"<[^>]+(?:src|href)=", body)
    assert "<script" not in body and "<svg" not in body and "<iframe" not in body and "<img" not in body
    assert "\u202e" not in body and "\\u202e" in body


def test_the_same_tables_give_the_same_bytes(hostile: tuple[Recipe, Path]) -> None:
    recipe, data = hostile
    made = build(recipe, data)
    pages = {page(recipe, Workspace.of(recipe, data), made.manifest) for _ in range(3)}
    assert len(pages) == 1


@pytest.mark.parametrize("writable", [True, False])
def test_the_library_is_bundled_once_for_all_data_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: bool
) -> None:
    """And beside the data, where the user's cache cannot be written."""
    bundled: list[str] = []
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda: bundled.append("one") or "let a = 1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if not writable:
        (tmp_path / "cache").write_text("a file, where a folder would have to be")
    for name in ("first", "second", "first"):
        _library.cache_clear()
        assert _library(tmp_path / name) == "let a = 1"
    _library.cache_clear()
    assert len(bundled) == (1 if writable else 2)
    assert (tmp_path / "first" / ".report").exists() is not writable


def test_a_block_keeps_lines_and_a_bound() -> None:
    assert block("a\nb\u202ec") == "a\nb\\u202ec"
    assert len(block("\u202e" * 5000)) == TEXT + 1
    assert block("x" * 1_000_000).endswith("…")


def test_win_rates_count_ties_as_half_and_prompts_once() -> None:
    rows = [
        ("p1", "a", "x", 2.0),
        ("p1", "b", "y", 1.0),
        ("p2", "a", "x", 1.0),
        ("p2", "b", "y", 1.0),
        ("p2", "c", "y", 0.0),
    ]
    responses = pl.DataFrame(
        {
            "prompt_id": [row[0] for row in rows],
            "response_id": [row[1] for row in rows],
            "policies": [[row[2]] for row in rows],
            "utility": [row[3] for row in rows],
        }
    )
    won = figures.win_rates(figures.compared(responses), ["x", "y"])
    assert won.select("policy", "against", "rate", "prompts").rows() == [("x", "y", 0.875, 2), ("y", "x", 0.125, 2)]
    assert all(low < rate < high for low, rate, high in won.select("low", "rate", "high").rows())


def test_the_interval_is_wilsons() -> None:
    # Wilson's score interval of 7 in 10: 0.3968 to 0.8922 (Agresti & Coull 1998, formula 2)
    found = figures.interval(pl.DataFrame({"rate": [0.7], "prompts": [10]})).row(0, named=True)
    assert (round(found["low"], 4), round(found["high"], 4)) == (0.3968, 0.8922)


@pytest.mark.parametrize("r", [0.4446, 0.4454, -0.2347, 0.9949])
def test_a_correlation_is_rounded_once(r: float) -> None:
    """0.4446 is 0.44; by way of 0.445 it would be shown as 0.45."""
    x, apart = np.array([1.0, -1.0, 1.0, -1.0]), np.array([1.0, 1.0, -1.0, -1.0])
    scores = pl.DataFrame({"score:a": x, "score:b": r * x + np.sqrt(1 - r * r) * apart})
    found = figures.correlations(scores, ["a", "b"])
    assert found.filter(pl.col("a") != pl.col("b")).get_column("r").to_list() == [float(f"{r:.2f}")] * 2


class Letters(Judge):
    """Scores a text by its first letter."""

    kind: Literal["test-letters"] = "test-letters"

    def judge(self, work: Batch) -> Iterator[pl.DataFrame]:
        score = pl.col("text").str.head(1).replace_strict({"a": 4.0, "b": 1.0, "c": 3.0, "d": 2.0})
        yield work.responses.select("prompt_id", "response_id", criterion=pl.lit("letter"), score=score)


Recipe.model_rebuild(force=True)  # so that recipes may name the judge above


def test_length_bias_is_that_of_the_released_pairs(tmp_path: Path) -> None:
    """Of any two responses of a prompt the longer one wins in four of six; of what is released, in every pair."""
    rows = [{"prompt": f"q{i}", "responses": ["a" * 9, "b" * 5, "c" * 4, "d" * 8]} for i in range(10)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    recipe = recipe_of(tmp_path, "rows.jsonl", judges=[{"kind": "test-letters"}])
    made = build(recipe, tmp_path / "data")
    workspace = Workspace.of(recipe, tmp_path / "data")
    assert figures.longer_chosen(workspace).row(0) == ("released pairs", 1.0, 10)
    sample = figures.Sample.of(40)
    of_all = figures.length_bias(figures.compared(figures.sampled_responses(recipe, workspace, sample)), [])
    assert of_all.row(0) == ("jury", pytest.approx(4 / 6), 60)
    texts = {plot["title"]: plot["text"] for plot in plots(recipe, workspace, made.manifest, sample)}
    assert texts["The chosen side is the longer one"].startswith("In 100.0% of 10 released pairs")
    assert "released or not" in texts["Length bias of the judges"]


def test_a_sample_is_the_prompts_with_the_smallest_ids() -> None:
    assert figures.Sample.of(10).below is None
    sample = figures.Sample.of(4 * figures.RESPONSES)
    assert sample.below == "40000000"
    ids = pl.LazyFrame({"prompt_id": ["3fff", "40000000aa", "00"]})
    assert sample.take(ids).collect()["prompt_id"].to_list() == ["3fff", "00"]


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as opened:
        yield opened


@pytest.mark.parametrize(("scheme", "width"), [("light", 1200), ("dark", 390)])
def test_in_a_browser_it_draws_fits_and_stays_silent(
    hostile: tuple[Recipe, Path], browser: object, scheme: str, width: int
) -> None:
    tab, seen = watched(browser, color_scheme=scheme, viewport={"width": width, "height": 800})
    tab.on("console", lambda message: seen.append(f"console {message.text}"))
    tab.goto(written(hostile).as_uri())
    plots = tab.locator("[data-plot]").count()
    tab.wait_for_function("count => document.querySelectorAll('[data-plot] svg').length === count", arg=plots)
    for opened in tab.locator("details.pair").all():
        opened.locator("summary").click()
    shown = tab.locator(".text").all_inner_texts()
    assert any("<script>alert('x')</script>" in text for text in shown)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    every = tab.locator("details.pair:visible").count()
    tab.fill("#search", "onload=alert(4)")
    assert 0 < tab.locator("details.pair:visible").count() < every
    tab.fill("#search", "")
    tab.select_option("#which", "dropped")
    assert tab.locator("details.pair:visible").count() == tab.locator("details[data-which=dropped]").count() > 0
    background = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(255, 255, 255)") == (scheme == "light")
    tab.close()
    assert seen == []


def test_images_are_drawn_anew_calls_are_code_and_reasoning_is_folded(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    hidden = image("blue", "JPEG") + evil.encode()
    (tmp_path / "a.jpg").write_bytes(hidden)
    address = f"https://x.org/{'<svg/onload=alert(3)>'}"
    call = [{"function": {"name": evil, "arguments": {"a": evil}}}]
    rows = [
        {
            "messages": [
                {"role": "user", "content": [{"type": "image"}, {"type": "image", "url": address}]},
                {"role": "assistant", "content": "", "tool_calls": call},
                {"role": "tool", "content": f"{number}"},
            ],
            "images": ["a.jpg"],
            "responses": [{"role": "assistant", "content": "x" * size, "reasoning": evil} for size in (1, 9)],
        }
        for number in range(2)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    source = {"source": "rows.jsonl", "columns": {"images": "images"}}
    recipe = recipe_of(
        tmp_path, "rows.jsonl", judges=[{"kind": "length"}], prompts=source, jury={"weights": {"length": 1}}
    )
    build(recipe, tmp_path / "data")
    text = written((recipe, tmp_path / "data")).read_text()
    body = text[: text.index('<script type="application/json"')]
    found = re.findall(r'<img class="shown" src="data:image/jpeg;base64,([^"]+)"', body)
    assert len(found) == 2 and b"alert" not in base64.b64decode(found[0])
    assert body.count('<details class="thought">') == 4 and '<pre class="text"><code>&lt;script&gt;' in body
    assert "<script" not in body and "<svg" not in body and "onerror=alert(2)>" not in body


def test_an_image_that_cannot_be_shown_is_told(tmp_path: Path) -> None:
    name = put_bytes(tmp_path, "image", image()[:50])
    assert thumbnail(tmp_path, name) is None
    (tmp_path / name).write_bytes(b"changed")
    assert thumbnail(tmp_path, name) is None
