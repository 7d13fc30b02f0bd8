"""Peak memory of whole builds with judges and a filter over models, and whether it stays flat as the data grows."""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.build import ROOT, build_apart

MODELS = ROOT / "pipelines" / "tiny"
RESPONSES = 4
PROMPTS = 12_500
"""Of the smaller build; the larger has twice as many over twice the shards: 100,000 responses."""


def write_source(path: Path, prompts: int) -> None:
    """Short prompts with four short responses each, so that counting memory does not take all day."""
    chance = np.random.default_rng(0)
    words = [f"{a}{b}" for a in ("ba", "co", "di", "fu", "ge") for b in ("rn", "lt", "ne", "sk", "mp")]
    columns = {"prompt": [f"{i} {' '.join(chance.choice(words, 6))}" for i in range(prompts)]}
    for number in range(RESPONSES):
        columns[f"r{number}"] = [
            f"{' '.join(chance.choice(words, chance.integers(2, 9)))} {number}" for _ in range(prompts)
        ]
    pl.DataFrame(columns).write_parquet(path)


def measure(prompts: int = PROMPTS) -> dict[str, float]:
    """GiB at the peak of the larger build, and that over the smaller's."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = build_apart(_recipe(folder, prompts, shards=2), folder)
        large = build_apart(_recipe(folder, 2 * prompts, shards=4), folder)
    return {"likelihood_peak_gib": large.peak_gib, "likelihood_peak_flat": large.peak_gib / first.peak_gib}


def _recipe(folder: Path, prompts: int, shards: int) -> Path:
    source = folder / f"source-{prompts}.parquet"
    # In a process of its own: a child's peak counts from the memory that its parent held.
    subprocess.run(
        [sys.executable, "-m", "benchmarks.likelihood_memory", str(source), str(prompts)], cwd=ROOT, check=True
    )
    path = folder / f"recipe-{prompts}.yaml"
    path.write_text(
        f"""
dataset: memory-{prompts}
prompts:
  source: {source}
  columns: {{prompt: prompt, responses: [r0, r1, r2, r3]}}
shards: {shards}
judges:
  - {{kind: density-ratio, strong: {MODELS / "strong"}, weak: {MODELS / "weak"}}}
filters:
  - {{kind: ches, model: {MODELS / "strong"}, keep_fraction: 0.9}}
""",
        encoding="utf-8",
    )
    return path


if __name__ == "__main__":
    write_source(Path(sys.argv[1]), int(sys.argv[2]))
