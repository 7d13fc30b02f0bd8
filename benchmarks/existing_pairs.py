"""A preference set that exists, from intake to release with a margin and a length filter, against a polars script.

The script reads the source, filters by both and writes what stays as Parquet: no ids, no checks, no splits, no
rankings, no verdicts that could be weighed or relabelled. Compared is CPU time, the program's start included.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.build import ROOT
from benchmarks.build_vs_script import _cpu
from benchmarks.synthetic import write_source

PAIRS = 1_000_000
ROUNDS = 1
SHARDS = 8
MARGIN, RATIO = 0.5, 2.0
RECIPE = """
dataset: existing-{name}
prompts:
  source: {source}
  columns: {{prompt: prompt, chosen: chosen, rejected: rejected, scores: {{rm: [score_chosen, score_rejected]}}}}
shards: {shards}
judges: [{{kind: label}}, {{kind: score, of: rm, name: rm}}]
jury: {{weights: {{label: 1, rm: 0}}}}
filters: [{{kind: margin, by: rm, minimum: {margin}}}, {{kind: length-ratio, maximum: {ratio}}}]
"""


def measure(pairs: int = PAIRS) -> dict[str, float]:
    """The least CPU time of a first build over that of the script, and the build's peak."""
    ours, theirs, peaks = [], [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = source_of(folder, pairs)
        for number in range(ROUNDS):
            theirs.append(_cpu([sys.executable, "-m", "benchmarks.existing_pairs", str(source), str(folder / "out")]))
            path = folder / f"recipe-{number}.yaml"
            text = RECIPE.format(name=number, source=source, shards=SHARDS, margin=MARGIN, ratio=RATIO)
            path.write_text(text, encoding="utf-8")
            cpu, peak = _build(path, folder)
            ours.append(cpu)
            peaks.append(peak)
            print(f"build {cpu:.1f} s of CPU, {peak:.2f} GiB, script {theirs[-1]:.1f} s", file=sys.stderr)
    return {"existing_pairs_vs_polars": min(ours) / min(theirs), "existing_pairs_peak_gib": max(peaks)}


def _build(recipe: Path, data: Path) -> tuple[float, float]:
    """Seconds of CPU, and GiB at the peak, of a build as a process of its own."""
    command = [sys.executable, "-m", "pairwright", "build", str(recipe), "--data", str(data)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def source_of(folder: Path, pairs: int) -> Path:
    """Pairs with scores: the sides of a response each, about 65 words long."""
    wide = write_source(folder / "wide.parquet", pairs)
    generator = np.random.default_rng(1)
    rows = pl.scan_parquet(wide).select("prompt", chosen="r0", rejected="r2")
    scores = pl.DataFrame(
        {name: generator.normal(mean, 1, pairs) for name, mean in (("score_chosen", 1), ("score_rejected", 0))}
    )
    path = folder / f"pairs-{pairs}.parquet"
    pl.concat([rows.collect(), scores], how="horizontal").write_parquet(path)
    wide.unlink()
    return path


def script(source: Path, folder: Path) -> None:
    """What a person would write by hand who wants the filtering and nothing else."""
    sizes = [pl.col(name).str.len_chars().clip(1) for name in ("chosen", "rejected")]
    margin = pl.col("score_chosen") - pl.col("score_rejected")
    rows = pl.scan_parquet(source).with_columns(margin=margin).filter(pl.col("margin") >= MARGIN)
    folder.mkdir(exist_ok=True)
    rows.filter(sizes[0] / sizes[1] <= RATIO).sink_parquet(folder / "pairs.parquet")


if __name__ == "__main__":
    script(Path(sys.argv[1]), Path(sys.argv[2]))
