"""Whole builds through the command line: an unchanged rerun, peak memory, and whether it stays flat."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.synthetic import recipe

ROOT = Path(__file__).parent.parent
PROMPTS = 250_000
"""Of the smaller build, with four responses each; the larger has twice as many over twice the shards."""


class Run(NamedTuple):
    """One build as a process of its own."""

    seconds: float
    peak_gib: float


def measure(prompts: int = PROMPTS) -> dict[str, float]:
    """Seconds of a rerun with nothing changed, GiB at the peak, and the larger build's peak over the smaller's."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        small = _recipe(folder, prompts, shards=4)
        first = build_apart(small, folder)
        rerun = min(build_apart(small, folder).seconds for _ in range(3))
        large = build_apart(_recipe(folder, 2 * prompts, shards=8), folder)
    return {
        "rerun_unchanged_seconds": rerun,
        "build_peak_gib": large.peak_gib,
        "build_peak_flat": large.peak_gib / first.peak_gib,
        "build_responses_per_s": 8 * prompts / large.seconds,
    }


def _recipe(folder: Path, prompts: int, shards: int) -> Path:
    source = source_of(folder, prompts)
    path = folder / f"recipe-{prompts}.yaml"
    judges = "{kind: bleu}, {kind: length}"
    path.write_text(recipe(source, shards, f"bench-{prompts}", judges), encoding="utf-8")
    return path


def source_of(folder: Path, prompts: int) -> Path:
    """A source, written by a process of its own: a child's peak counts from the memory that its parent held."""
    source = folder / f"source-{prompts}.parquet"
    subprocess.run([sys.executable, "-m", "benchmarks.synthetic", str(source), str(prompts)], cwd=ROOT, check=True)
    return source


def build_apart(path: Path, folder: Path) -> Run:
    """Build a recipe by the command line, in one process of its own."""
    command = [sys.executable, "-m", "pairwright", "build", str(path), "--data", str(folder / "data"), "--workers=1"]
    start = time.perf_counter()
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        raise RuntimeError((folder / "log").read_text(encoding="utf-8")[-2000:])
    print(f"build of {path.name}: {seconds:.1f} s, {usage.ru_maxrss / 2**20:.2f} GiB", file=sys.stderr)
    return Run(seconds, usage.ru_maxrss / 2**20)


if __name__ == "__main__":
    print(measure())
