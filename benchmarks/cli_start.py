"""What commands take to start: CPU seconds of those that look at a small data set, each in a process of its own."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl

from benchmarks.build import ROOT, build_apart, source_of
from benchmarks.synthetic import recipe

PROMPTS = 100
RUNS = 7


def measure() -> dict[str, float]:
    """Medians of user and system time, of `releases` as `cli_start_seconds`, and of others beside it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = folder / "recipe.yaml"
        judges = "{kind: bleu}, {kind: length}"
        path.write_text(recipe(source_of(folder, PROMPTS), 2, "bench-start", judges), encoding="utf-8")
        build_apart(path, folder)
        pair_id = pl.scan_parquet(folder / "data" / "bench-start" / "pairs").select("pair_id").head(1).collect().item()
        return {
            "cli_start_seconds": _seconds(folder, "releases", str(path)),
            "cli_plan_seconds": _seconds(folder, "plan", str(path)),
            "cli_diff_seconds": _seconds(folder, "diff", "v1", "v1"),
            "cli_explain_seconds": _seconds(folder, "explain", pair_id),
        }


def _seconds(folder: Path, *command: str) -> float:
    """The median over some runs after a first one, which compiles what is not yet compiled to bytecode."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    arguments = [sys.executable, "-m", "pairwright", *command, "--data", str(folder / "data")]
    spent = []
    for _ in range(1 + RUNS):
        before = _cpu()
        subprocess.run(arguments, cwd=ROOT, env=environment, check=True, capture_output=True)
        spent.append(_cpu() - before)
    return statistics.median(spent[1:])


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    print(measure())
