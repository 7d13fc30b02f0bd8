"""A whole build against the script that a person would write by hand for the same data, with the same BLEU kernel.

The script reads the source, scores with BLEU and length, puts both on one scale, takes best against worst and the whole
lists, and writes both as Parquet. It keeps no verdicts, checks nothing and cannot go on where it stopped. Compared is
CPU time, the program's start included.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.build import ROOT, source_of
from benchmarks.synthetic import RESPONSES, recipe

PROMPTS = 250_000
ROUNDS = 3


def measure(prompts: int = PROMPTS) -> dict[str, float]:
    """The least CPU time of a first build over that of the script, one worker each."""
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source = source_of(folder, prompts)
        path = folder / "recipe.yaml"
        path.write_text(recipe(source, 4, judges="{kind: bleu}, {kind: length}"), encoding="utf-8")
        for number in range(ROUNDS):
            theirs.append(_cpu([sys.executable, "-m", "benchmarks.build_vs_script", str(source), str(folder / "out")]))
            data = folder / f"data-{number}"
            command = [sys.executable, "-m", "pairwright", "build", str(path), "--data", str(data), "--workers=1"]
            ours.append(_cpu(command))
            print(f"build {ours[-1]:.1f} s of CPU, script {theirs[-1]:.1f} s", file=sys.stderr)
    return {"build_vs_script": min(ours) / min(theirs)}


def _cpu(command: list[str]) -> float:
    """Seconds of CPU that a process and its children take."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime


def script(source: Path, folder: Path) -> None:
    """What a person would write by hand."""
    import polars as pl

    from pairwright.judges.bleu.kernel import sentence_bleu

    texts = [f"r{i}" for i in range(RESPONSES)]
    rows = pl.read_parquet(source).with_row_index("row").with_columns(prompt_id=pl.col("row").cast(pl.String))
    long = rows.unpivot(on=texts, index=["row", "prompt_id"], variable_name="by", value_name="text")
    long = long.with_columns(response_id=pl.col("prompt_id") + pl.col("by")).sort("row", "by")
    prompts = rows.select("prompt_id", references=pl.concat_list("references"))
    long = long.join(sentence_bleu(prompts, long), on=["prompt_id", "response_id"])
    z = [(one - one.mean()) / one.std() for one in (pl.col("score"), pl.col("text").str.len_chars())]
    long = long.with_columns(utility=(z[0] + z[1]) / 2).sort("row", "utility", descending=[False, True])
    lists = long.group_by("row", maintain_order=True).agg(responses="text", scores="utility")
    lists = lists.join(rows.select("row", "prompt"), on="row", maintain_order="left")
    pairs = lists.select(
        "prompt",
        chosen=pl.col("responses").list.first(),
        rejected=pl.col("responses").list.last(),
        margin=pl.col("scores").list.first() - pl.col("scores").list.last(),
    ).filter(pl.col("margin") > 0)
    folder.mkdir(exist_ok=True)
    pairs.write_parquet(folder / "pairs.parquet")
    lists.drop("row").write_parquet(folder / "rankings.parquet")


if __name__ == "__main__":
    start = time.perf_counter()
    script(Path(sys.argv[1]), Path(sys.argv[2]))
    print(f"{time.perf_counter() - start:.1f} s")
