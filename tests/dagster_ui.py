"""`pairwright ui` in a process of its own, and tabs of a real browser that look at it."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from browser import chromium, watched

WAIT = 60_000
"""Milliseconds that a slow machine may take for one step."""


class Ui(NamedTuple):
    """A running UI."""

    url: str
    data: Path
    browser: Any


def until(there: Callable[[], bool], seconds: float, why: Callable[[], str] = lambda: "") -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, why()
        time.sleep(0.5)


def up(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


@contextlib.contextmanager
def running_ui(folder: Path, *options: str) -> Iterator[Ui]:
    """The UI of the recipes in a folder's `recipes`, with its tables in `data` there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "pairwright", "ui", str(folder / "recipes"), "--port", str(port), *options]
    command += ["--data", str(folder / "data")]
    with chromium() as browser, (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, cwd=folder)
        try:
            until(lambda: up(f"http://127.0.0.1:{port}/server_info"), 120, (folder / "log").read_text)
            yield Ui(f"http://127.0.0.1:{port}", folder / "data", browser)
        finally:
            os.killpg(server.pid, signal.SIGINT)
            try:
                server.wait(timeout=30)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


def built(folder: Path, recipe: str) -> None:
    """Build one of the recipes as the command does."""
    command = [sys.executable, "-m", "pairwright", "build", str(folder / "recipes" / recipe)]
    subprocess.run([*command, "--data", str(folder / "data")], check=True, timeout=120)


def opened(ui: Ui) -> tuple[Any, list[str]]:
    tab, seen = watched(ui.browser, ui.url, viewport={"width": 1400, "height": 900})
    tab.set_default_timeout(WAIT)
    return tab, seen


def strangers(seen: list[str]) -> list[str]:
    """What of a tab's doings is not the web server's own: its application asks for nothing from elsewhere."""
    return [one for one in seen if not one.startswith("error ")]


def keep(tab: Any, name: str, height: int = 900) -> None:
    """A screenshot of the upper part, where the environment names a folder for them."""
    if folder := os.environ.get("PAIRWRIGHT_SCREENSHOTS"):
        tab.screenshot(path=f"{folder}/{name}.png", clip={"x": 0, "y": 0, "width": 1400, "height": height})
