"""Sources of any size, written by chunks: prompts with a reference and four responses of about 65 words each."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

CHUNK = 25_000
FRAGMENTS = 20_000
RESPONSES = 4


def write_source(path: Path, prompts: int, seed: int = 0) -> Path:
    """A Parquet file with prompt, references and the responses r0 to r3; the same bytes for the same arguments."""
    generator = np.random.default_rng(seed)
    words = np.array(
        ["".join(generator.choice(list("abcdefghijklmnopqrstuvwxyz"), generator.integers(2, 9))) for _ in range(4000)]
    )
    ranks = np.minimum(generator.zipf(1.3, (FRAGMENTS, 13)), len(words)) - 1
    fragments = pl.Series([" ".join(row) + "." for row in words[ranks]])
    writer = None
    for start in range(0, prompts, CHUNK):
        size = min(CHUNK, prompts - start)
        number = pl.Series(np.arange(start, start + size)).cast(pl.String)
        columns = {"prompt": "Write about " + _text(fragments, generator, size, 2) + " Number " + number + "?"}
        reference = [fragments.gather(generator.integers(0, FRAGMENTS, size)) for _ in range(5)]
        columns["references"] = _joined(reference)
        for response in range(RESPONSES):
            kept = [
                pl.Series(np.where(generator.random(size) < 0.25 * response, other, own), dtype=pl.String)
                for own, other in (
                    (one.to_numpy(), fragments.gather(generator.integers(0, FRAGMENTS, size)).to_numpy())
                    for one in reference
                )
            ]
            columns[f"r{response}"] = _joined(kept) + " " + pl.Series([str(response)] * size)
        table = pl.DataFrame(columns).to_arrow(compat_level=pl.CompatLevel.oldest())
        writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return path


def recipe(source: Path, shards: int, dataset: str = "bench", judges: str = "{kind: length}") -> str:
    """A recipe over such a source."""
    return f"""
dataset: {dataset}
prompts:
  source: {source}
  columns: {{prompt: prompt, references: [references], responses: [r0, r1, r2, r3]}}
shards: {shards}
judges: [{judges}]
"""


def _text(fragments: pl.Series, generator: np.random.Generator, size: int, count: int) -> pl.Series:
    return _joined([fragments.gather(generator.integers(0, FRAGMENTS, size)) for _ in range(count)])


def _joined(parts: list[pl.Series]) -> pl.Series:
    frame = pl.DataFrame({str(i): part for i, part in enumerate(parts)})
    return frame.select(pl.concat_str(pl.all(), separator=" ")).to_series()


if __name__ == "__main__":
    write_source(Path(sys.argv[1]), int(sys.argv[2]))
