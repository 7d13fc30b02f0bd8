"""Which split a prompt falls into: by its id, so that it never changes, and together with its near-duplicates.

A prompt's own draw is a number in [0, 1) from its id. Near-duplicates (MinHash over words, banded: LSH) form groups,
and a group is in test when its smallest draw is: as the data grows a prompt can move from train to test, where a
near-duplicate of it already is, but not from test to train (short of a group growing into a template, see COMMON).
"""

import numpy as np
import polars as pl
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pairwright.schemas.ids import digest

BANDS, ROWS = 8, 4
"""Of the LSH: two prompts sharing 90 % of their words meet with probability .9998, 70 % with .89, 40 % with .19."""
COMMON = 64
"""A band key that more prompts share is a template's, not a near-duplicate's: it groups nobody."""
WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+"
"""Words, or characters where a script writes none apart."""
_MULTIPLIERS = [int(digest("split", str(i), size=8), 16) | 1 for i in range(BANDS * ROWS)]


def split_keys(texts: pl.DataFrame) -> pl.DataFrame:
    """LSH band keys of prompts.

    `texts` has prompt_id and text. Returns prompt_id and split_keys, a list of BANDS unsigned 64-bit numbers; empty
    for texts without a word.
    """
    words = (
        texts.select("prompt_id", word=pl.col("text").str.to_lowercase().str.extract_all(WORD))
        .explode("word", empty_as_null=False)
        .unique()
    )
    vocabulary = words.select(pl.col("word").unique())
    hashes = np.array([int(digest(word, size=8), 16) for word in vocabulary.get_column("word")], dtype=np.uint64)
    words = words.join(vocabulary.with_columns(hash=pl.Series(hashes, dtype=pl.UInt64)), on="word").sort("prompt_id")
    if words.is_empty():
        return texts.select("prompt_id", split_keys=pl.lit([], pl.List(pl.UInt64)))
    ids = words.get_column("prompt_id").rle().struct.unnest()
    ends = np.cumsum(ids.get_column("len").to_numpy(), dtype=np.int64)
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
    word_hashes = words.get_column("hash").to_numpy()
    bands = []
    for band in range(BANDS):
        key = np.full(ids.height, band, dtype=np.uint64)
        for multiplier in _MULTIPLIERS[band * ROWS : (band + 1) * ROWS]:
            smallest = np.minimum.reduceat(_mix(word_hashes * np.uint64(multiplier)), starts)
            key = _mix(key * np.uint64(0x9E3779B97F4A7C15) + smallest)
        bands.append(key)
    keys = pl.DataFrame(
        {"prompt_id": ids.get_column("value"), "split_keys": np.stack(bands, axis=1)},
        schema_overrides={"split_keys": pl.List(pl.UInt64)},
    )
    return (
        texts.select("prompt_id")
        .join(keys, on="prompt_id", how="left")
        .with_columns(pl.col("split_keys").fill_null([]))
    )


def _mix(values: np.ndarray) -> np.ndarray:
    """Scatter the bits of unsigned 64-bit numbers (the finaliser of MurmurHash3)."""
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xFF51AFD7ED558CCD)
    values = values ^ (values >> np.uint64(33))
    values = values * np.uint64(0xC4CEB9FE1A85EC53)
    return values ^ (values >> np.uint64(33))


def assign_splits(prompts: pl.DataFrame, test_fraction: float) -> pl.DataFrame:
    """The split of every prompt of a data set.

    `prompts` has prompt_id, split (what the source says, or null) and split_keys. Returns prompt_id and split,
    `train` or `test`, sorted by prompt_id. A group with a prompt that the source puts in test is in test.
    """
    prompts = prompts.sort("prompt_id").with_row_index("node")
    draw = pl.col("prompt_id").str.slice(0, 12).str.to_integer(base=16, dtype=pl.UInt64) / 2**48
    given = pl.when(pl.col("split").str.starts_with("test")).then(0.0).when(pl.col("split").is_not_null()).then(1.0)
    groups = _groups(prompts)
    return (
        prompts.with_columns(draw=pl.coalesce(given, draw), group=pl.Series(groups))
        .with_columns(pl.col("draw").min().over("group"))
        .select(
            "prompt_id",
            split=pl.when(pl.col("draw") < test_fraction).then(pl.lit("test")).otherwise(pl.lit("train")),
        )
    )


def _groups(prompts: pl.DataFrame) -> np.ndarray:
    """The near-duplicate group of each node: connected through shared band keys."""
    edges = (
        prompts.select("node", key="split_keys")
        .explode("key", empty_as_null=False)
        .with_columns(first=pl.col("node").min().over("key"), shared=pl.len().over("key"))
        .filter((pl.col("node") != pl.col("first")) & (pl.col("shared") <= COMMON))
    )
    ends = (edges.get_column("first").to_numpy(), edges.get_column("node").to_numpy())
    graph = coo_array((np.ones(edges.height, dtype=np.int8), ends), shape=(prompts.height, prompts.height))
    return connected_components(graph, directed=False)[1]
