"""First builds with two worker processes against one, by the clock, as a user with two cores would see them.

Both runs are pinned to two cores. With one worker nothing else is taken away: polars has its threads on both cores, as
it has by default. `build_scaling_one_core` is the build with one worker on one core over that with two on two: what the
second core brings in all, threads included.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.build import ROOT, source_of
from benchmarks.synthetic import recipe

PROMPTS = 250_000
"""With four responses each."""
ROUNDS = 2
SHARDS = 8


def measure(prompts: int = PROMPTS, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of a first build with one worker over those with two, the best of some by turns."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    ways = {"one core": (1, cores[:1]), "one": (1, cores), "two": (2, cores)}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        path = folder / "recipe.yaml"
        source = source_of(folder, prompts)
        path.write_text(recipe(source, SHARDS, judges="{kind: bleu}, {kind: length}"), encoding="utf-8")
        for number in range(rounds):
            for way, (workers, on) in ways.items():
                data = folder / f"data-{way.replace(' ', '-')}-{number}"
                seconds[way].append(_build(path, data, workers, on))
                print(f"{way}: {seconds[way][-1]:.1f} s", file=sys.stderr)
    best = {way: min(times) for way, times in seconds.items()}
    return {
        "build_scaling": best["one"] / best["two"],
        "build_scaling_one_core": best["one core"] / best["two"],
    }


def _build(path: Path, data: Path, workers: int, cores: list[int]) -> float:
    def pin() -> Any:
        os.sched_setaffinity(0, cores)

    command = [sys.executable, "-m", "pairwright", "build", str(path), "--data", str(data), "--workers", str(workers)]
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, preexec_fn=pin, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


if __name__ == "__main__":
    print(measure(*map(int, sys.argv[1:])))
