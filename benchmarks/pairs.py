"""Best-vs-worst pairs from Parquet to Parquet, against a hand-written polars query that does nothing else.

Both read the preferences, responses and prompts of 250,000 prompts × 4 responses and write prompt, chosen and
rejected. Ours also annotates every candidate, assigns splits around near-duplicates, and carries ids and scores.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl

from benchmarks.synthetic import recipe, write_source
from pairwright.assets.intake.source import take_in
from pairwright.assets.judging.judge import judge_shard
from pairwright.assets.pairing.pair import pair
from pairwright.assets.pairing.prefer import judges_of, prefer
from pairwright.assets.releasing.release import release_basis, splits_stage
from pairwright.assets.releasing.release_rows import PAIRS, shard_rows
from pairwright.assets.storage.split_writer import SplitWriter
from pairwright.assets.storage.store import Workspace
from pairwright.schemas.reading import load_recipe
from pairwright.schemas.recipe import Recipe

PROMPTS = 250_000
ROUNDS = 5


def measure(prompts: int = PROMPTS) -> dict[str, float]:
    """Median of the ratios of neighbouring runs."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made, workspace = _prepare(folder, prompts)
        ratios = []
        for number in range(ROUNDS):
            theirs = _timed(lambda number=number: _peer(workspace, folder / f"peer-{number}.parquet"))
            ours = _timed(lambda number=number: _ours(made, workspace, folder / f"ours-{number}"))
            ratios.append(ours / theirs)
            print(f"pairs: ours {ours:.2f} s, polars {theirs:.2f} s", file=sys.stderr)
    return {"pairs_vs_polars": statistics.median(ratios)}


def _prepare(folder: Path, prompts: int) -> tuple[Recipe, Workspace]:
    source = write_source(folder / "source.parquet", prompts)
    path = folder / "recipe.yaml"
    path.write_text(recipe(source, shards=8), encoding="utf-8")
    made = load_recipe(path)
    workspace = Workspace.of(made, folder / "data")
    take_in(made, workspace)
    for judge in judges_of(made):
        for shard in workspace.each_shard():
            judge_shard(judge, workspace, shard)
    prefer(made, workspace)
    return made, workspace


def _ours(made: Recipe, workspace: Workspace, folder: Path) -> None:
    for path in (workspace.root / "pairs").glob("*.parquet"):
        path.unlink()
    pair(made, workspace)
    splits_stage(made).bring_up(workspace)
    inputs = release_basis(made).reading(workspace, None)
    with SplitWriter(folder) as writer:
        for shard in inputs.each_shard():
            for piece in shard_rows(made, inputs, shard, False, PAIRS):
                writer.add(piece.rows)


def _peer(workspace: Workspace, path: Path) -> None:
    def scan(table: str) -> pl.LazyFrame:
        return pl.scan_parquet(workspace.files(table))

    utility = scan("preferences").select("prompt_id", "response_id", "utility")
    texts = scan("responses").select("prompt_id", "response_id", "text")
    best, worst = pl.col("utility").arg_max(), pl.col("utility").arg_min()
    pairs = (
        texts.join(utility, on=["prompt_id", "response_id"])
        .group_by("prompt_id")
        .agg(
            chosen=pl.col("text").get(best),
            rejected=pl.col("text").get(worst),
            score_chosen=pl.col("utility").max(),
            score_rejected=pl.col("utility").min(),
        )
        .filter(pl.col("score_chosen") > pl.col("score_rejected"))
    )
    prompts = scan("prompts").select("prompt_id", prompt="messages")
    pairs.join(prompts, on="prompt_id").sort("prompt_id").sink_parquet(path)


def _timed(run: Callable[[], None]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


if __name__ == "__main__":
    print(measure())
