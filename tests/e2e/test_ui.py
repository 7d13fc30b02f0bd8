"""The UI in a real browser: `pairwright ui` on the demo, everything materialised by a click, a schedule that ticks."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pairwright.pipelines.recipes import DEMO

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'pairwright[test-ui]'")
CHROMIUM = Path("/usr/bin/chromium")
pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs Chromium: apt-get install chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT = 90_000
"""Milliseconds that a slow machine may take for one step."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A UI over the demo with a schedule that is due every minute; its address and data directory."""
    folder = tmp_path_factory.mktemp("ui")
    recipe = yaml.safe_load(DEMO.read_text())
    recipe["prompts"]["source"] = str(DEMO.parent / recipe["prompts"]["source"])
    recipe["judges"] = [{"kind": "bleu"}, {"kind": "unigram-f1"}, {"kind": "length"}]  # those that need no model
    recipe["filters"] = [{"kind": "margin", "minimum": 0.5}]
    recipe["jury"], recipe["release"] = {"weights": {"length": 0}}, {"test_fraction": 0.1}
    recipe["schedule"] = {"relabel": "* * * * *"}
    (folder / "recipes").mkdir()
    (folder / "recipes" / "demo.yaml").write_text(yaml.safe_dump(recipe))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pairwright", "ui", str(folder / "recipes"), "--port", str(port)]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--data", str(folder / "data")], stdout=log, stderr=log, start_new_session=True, cwd=folder
        )
    try:
        _until_up(f"http://127.0.0.1:{port}/server_info", server, folder / "log")
        yield f"http://127.0.0.1:{port}", folder / "data"
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _until_up(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(WAIT)
        yield page
        browser.close()


def keep(tab: Any, name: str) -> None:
    """A screenshot, where the environment names a folder for them."""
    if folder := os.environ.get("PAIRWRIGHT_SCREENSHOTS"):
        tab.screenshot(path=f"{folder}/{name}.png")


@pytest.mark.slow
def test_materialise_all_then_look_then_switch_the_schedule_on(address: tuple[str, Path], tab: Any) -> None:
    url, data = address
    dialogs: list[str] = []
    tab.on("dialog", lambda dialog: (dialogs.append(dialog.message), dialog.dismiss()))
    tab.goto(f"{url}/locations/pairwright.pipelines.definitions/asset-groups/demo/lineage")
    tab.get_by_role("button", name=re.compile("Materialize all")).click()
    dialog = tab.get_by_role("button", name="Launch backfill")
    launched = tab.get_by_text(re.compile("Launched run"))
    dialog.or_(launched).first.wait_for()
    if dialog.is_visible():
        tab.get_by_role("button", name="All", exact=True).first.click()
        dialog.click()
    release = data / "demo" / "releases" / "v1"
    for _ in range(240):
        if (release / "report.html").exists():
            break
        time.sleep(0.5)
    assert (release / "manifest.json").exists() and (release / "report.html").exists()

    tab.goto(f"{url}/runs")
    tab.get_by_text("Success", exact=True).first.wait_for()
    tab.goto(f"{url}/assets/demo/release?view=overview")
    tab.get_by_text("[Show Markdown]").first.click()
    tab.locator('img[src^="data:image/png"]').first.wait_for()
    keep(tab, "release")
    tab.keyboard.press("Escape")

    tab.goto(f"{url}/locations/pairwright.pipelines.definitions/schedules/demo_relabel")
    switch = tab.locator("tr", has_text="Running").locator("label")
    switch.click()
    tab.get_by_text(re.compile(r"\brequested\b", re.IGNORECASE)).first.wait_for()
    keep(tab, "schedule")
    switch.click()
    assert dialogs == []
