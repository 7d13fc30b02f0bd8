"""What the export and push commands refuse: one clear line, an exit code that is not 0, and nothing half-written."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import release_folder as hand

LIMIT = 3_000
"""Bytes that a file may have in the tests of a full disk; those of an export have more."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one release."""
    folder = tmp_path_factory.mktemp("data")
    hand.make(folder / "hand" / "releases" / "v1")
    return folder


def start(*arguments: str, cwd: Path, before: Callable[[], None] | None = None, run: str = "") -> subprocess.Popen[str]:
    """The command line as a process of its own; `run` is code to run in its place."""
    quiet = {name: value for name, value in os.environ.items() if name not in {"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"}}
    return subprocess.Popen(
        [sys.executable, *(["-c", run] if run else ["-m", "pairwright"]), *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before or listen,
        env=quiet,
    )


def listen() -> None:
    """To interrupts, which shells have background jobs ignore."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def small_files() -> None:
    """As on a full disk, without one: a write beyond the limit fails with an error of the system."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))


REFUSED = {
    "unknown format": (
        ("export", "hand", "--format", "tlr", "--out", "out"),
        "'tlr' is not known (did you mean 'trl'",
    ),
    "no such release": (("export", "hand/v9", "--format", "trl", "--out", "out"), "no release 'v9'; there are: v1"),
    "no such data set": (("export", "foot", "--format", "trl", "--out", "out"), "no release 'foot' under"),
    "no steps": (("export", "hand", "--format", "trl-stepwise", "--out", "out"), "no response came with steps"),
    "no plain variant": (("export", "hand", "--format", "tulu", "--plain", "--out", "out"), "no plain variant"),
    "something else there": (("export", "hand", "--format", "trl", "--out", "."), "already holds something"),
    "no token": (("push", "hand", "--repo", "org/name"), "no token to push with; set HF_TOKEN"),
    "no repository": (("push", "hand", "--repo", "name"), "'name' is no repository; write organisation/name"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_refusal_is_one_line_and_exit_code_1(tmp_path: Path, data: Path, case: str) -> None:
    arguments, says = REFUSED[case]
    (tmp_path / "mine.txt").write_text("mine")
    child = start(*arguments, "--data", str(data), cwd=tmp_path)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1 and out == ""
    assert len(err.splitlines()) == 1 and err.startswith("error: ") and says in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize("kind", ["trl", "openrlhf"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, data: Path, kind: str) -> None:
    arguments = ("export", "hand", "--format", kind, "--out", "out", "--data", str(data))
    child = start(*arguments, cwd=tmp_path, before=small_files)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 1 and out == ""
    assert "failed and left nothing there" in err and "File too large" in err and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_export_stops_with_130_and_leaves_nothing(tmp_path: Path, data: Path) -> None:
    """Interrupted when its files are written and not yet in their place."""
    code = (
        "import time\nfrom pairwright.schemas import files\nfrom pairwright.cli import main\n"
        "files.sync = lambda path: (print('written', flush=True), time.sleep(60))\nmain()\n"
    )
    child = start("export", "hand", "--format", "trl", "--out", "out", "--data", str(data), cwd=tmp_path, run=code)
    assert child.stdout is not None and child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130 and "stopped" in err and "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
