"""A real browser for tests, and a tab that tells whatever a page should not do."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
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


@contextlib.contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Chromium, headless, with further flags. Skips the test with the reason where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'pairwright[test-ui]'")
    if not CHROMIUM.exists():
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=[*FLAGS, *flags])
        yield opened
        opened.close()


def watched(browser: Any, home: str = "file:", **options: Any) -> tuple[Any, list[str]]:
    """A tab, and a list that fills with its dialogs, its errors, and its requests to anywhere but `home`."""
    tab = browser.new_page(**options)
    seen: list[str] = []
    tab.on("dialog", lambda dialog: (seen.append(f"dialog {dialog.message}"), dialog.dismiss()))
    tab.on("pageerror", lambda error: seen.append(f"error {error}"))
    tab.on("request", lambda request: None if own(request.url, home) else seen.append(request.url))
    return tab, seen


def own(url: str, home: str) -> bool:
    """Whether an address is the page's own: under `home`, or held in the page itself."""
    return url.startswith((home, "data:", "blob:"))
