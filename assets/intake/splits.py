"""Which split a prompt falls into: by its id, so that it never changes, and together with its near-duplicates.

A prompt's own draw is a number in [0, 1) from its id. Near-duplicates (MinHash over words, found by LSH and checked)
form groups, and a group is in test when its smallest draw is: as the data grows a prompt can move from train to
test, where a near-duplicate of it already is, but not from test to train (unless its group grows into a template).
What the source says of a prompt goes before its draw, and holds for its near-duplicates, too.
"""

import numpy as np
import polars as pl

from pairwright.assets.display.text import SPACES
from pairwright.schemas.ids import digest

SPLITS = ("train", "validation", "test")
"""Of a release; of near-duplicates, and of rows of one prompt, the last one that any of them is in counts."""
SPLITS_TABLE = "splits"
"""Where the split of every prompt stands."""
_NAMES = {
    "train": "train|training",
    "validation": "validation|valid|val|dev|devel|development|eval|evaluation",
    "test": "test|testing|heldout|held|holdout|hold",
}
"""Words that sources begin their splits' names with."""
BANDS, ROWS = 8, 6
"""Of the LSH: prompts that share 90 % of their words meet with probability .998, 80 % with .91, 50 % with .12."""
SKETCH = BANDS * ROWS
ALIKE = 0.75
"""Estimated Jaccard similarity of the words from which on two prompts are near-duplicates."""
TEMPLATE = 16
"""More prompts than this that share a band key, or hang together, are a template's and not one another's duplicates:
each keeps its own draw, or one template could pull a whole data set into test."""
WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]|[\p{L}\p{M}\p{N}]+"
"""Words, or characters where a script writes none apart."""
_MULTIPLIERS = np.array([int(digest("split", str(i), size=8), 16) | 1 for i in range(SKETCH)], dtype=np.uint64)
_SCATTER = np.uint64(0x9E3779B97F4A7C15)


def sketches(texts: pl.DataFrame) -> pl.DataFrame:
    """MinHash sketches of texts.

    `texts` has prompt_id (unique) and text. Returns prompt_id and sketch, a list of SKETCH 16-bit numbers of which
    two texts agree on about as large a share as their sets of words have in common; empty for a text without a word.
    """
    words = texts.select("prompt_id", words=pl.col("text").str.to_lowercase().str.extract_all(WORD))
    some = words.filter(pl.col("words").list.len() > 0)
    if some.is_empty():
        return texts.select("prompt_id", sketch=pl.lit([], pl.List(pl.UInt16)))
    lengths = some.get_column("words").list.len().to_numpy()
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)[:-1]))
    encoded = some.get_column("words").explode().to_arrow().dictionary_encode()
    hashes = [int(digest(word, size=8), 16) for word in encoded.dictionary.to_pylist()]
    of_words = np.array(hashes, dtype=np.uint64)[pl.Series(encoded.indices).to_numpy()]  # Arrow's own way takes pandas
    smallest = [np.minimum.reduceat(of_words * multiplier, starts) for multiplier in _MULTIPLIERS]
    sketch = np.stack([((one * _SCATTER) >> np.uint64(48)).astype(np.uint16) for one in smallest], axis=1)
    made = some.select("prompt_id", sketch=pl.Series(sketch).cast(pl.List(pl.UInt16)))
    return texts.select("prompt_id").join(made, on="prompt_id", how="left").with_columns(pl.col("sketch").fill_null([]))


def known_split(name: pl.Expr) -> pl.Expr:
    """One of SPLITS for what a source calls a split, like Test, dev or train_prefs; null for any other name."""
    word = name.str.strip_chars(SPACES).str.to_lowercase()
    cases = [
        pl.when(word.str.contains(rf"^(?:{names})(?:sets?|s)?(?:[^a-z]|$)")).then(pl.lit(split))
        for split, names in _NAMES.items()
    ]
    return pl.coalesce(cases)


def unknown_split(name: pl.Expr) -> pl.Expr:
    """Why a row with that split cannot be used; null where it can. To guess would put test rows into train."""
    reason = pl.format(
        "split '{}' is none of train, validation (dev, val, eval) and test; "
        "rename it, or write `split: ''` under columns to take none",
        name.str.slice(0, 40),
    )
    return pl.when(name.is_not_null() & known_split(name).is_null()).then(reason)


def near_duplicates(prompts: pl.DataFrame) -> pl.Series:
    """The group of near-duplicates that each prompt of a data set is in, as numbers.

    `prompts` has prompt_id and sketch; their order decides on the numbers, not on who shares one. Groups of more than
    TEMPLATE are none.
    """
    return pl.Series("group", _groups(prompts))


def assign_splits(prompts: pl.DataFrame, test_fraction: float) -> pl.DataFrame:
    """The split of every prompt of a data set.

    `prompts` has prompt_id, split (what the source says: one of SPLITS, or null) and sketch. Returns prompt_id and
    split, sorted by prompt_id. A group with a prompt that the source puts in test is in test, and one with a prompt
    in validation is not in train.
    """
    if not prompts.get_column("prompt_id").is_sorted():
        prompts = prompts.sort("prompt_id")
    draw = pl.col("prompt_id").str.slice(0, 12).str.to_integer(base=16, dtype=pl.UInt64) / 2**48
    ranks = {name: rank for rank, name in enumerate(SPLITS)}
    place = known_split(pl.col("split")).replace_strict(ranks, return_dtype=pl.Int32)
    drawn = pl.when(draw < test_fraction).then(SPLITS.index("test")).otherwise(SPLITS.index("train"))
    own = pl.coalesce(place, drawn)
    shared = pl.when(pl.len().over("group") <= TEMPLATE).then(pl.col("own").max().over("group")).otherwise("own")
    names = dict(enumerate(SPLITS))
    return prompts.with_columns(own=own, group=near_duplicates(prompts)).select(
        "prompt_id", split=shared.replace_strict(names, return_dtype=pl.String)
    )


def _groups(prompts: pl.DataFrame) -> np.ndarray:
    """The near-duplicate group of each row: connected through band keys and alike by their whole sketches."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    some = prompts.with_row_index("row").filter(pl.col("sketch").list.len() == SKETCH)
    sketch = some.get_column("sketch").explode().to_numpy().reshape(-1, SKETCH)
    meeting = [np.empty(0, np.int64)]
    for band in range(BANDS):
        key = np.zeros(len(sketch), dtype=np.uint64)
        for column in range(band * ROWS, (band + 1) * ROWS):
            key = (key ^ sketch[:, column]) * _SCATTER
            key ^= key >> np.uint64(32)
        first, second = _meeting(key)
        meeting.append(first * len(sketch) + second)
    pairs = np.sort(np.concatenate(meeting))
    pairs = pairs[np.diff(pairs, prepend=-1) > 0]  # most meet in several bands
    first, second = pairs // max(len(sketch), 1), pairs % max(len(sketch), 1)
    alike = [
        (sketch[a] == sketch[b]).mean(axis=1) >= ALIKE
        for a, b in zip(*(np.array_split(one, len(pairs) // 100_000 + 1) for one in (first, second)), strict=True)
    ]
    near = np.concatenate(alike)
    rows = some.get_column("row").to_numpy()
    ends = (rows[first[near]], rows[second[near]])
    graph = coo_array((np.ones(len(ends[0]), dtype=np.int8), ends), shape=(prompts.height, prompts.height))
    return connected_components(graph, directed=False)[1]


def _meeting(key: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions, first and second, of every pair that shares a key with few others.

    Every pair of a key, not each with its first: a newcomer that sorts first must not part those that were together.
    """
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    sizes = np.diff(np.append(starts, len(key)))
    few = np.repeat(sizes <= TEMPLATE, sizes)
    places = [
        (np.flatnonzero((ordered[:-apart] == ordered[apart:]) & few[:-apart]), apart)
        for apart in range(1, min(TEMPLATE, len(key)))
    ]
    first = np.concatenate([np.empty(0, np.int64), *(order[one] for one, _ in places)])
    second = np.concatenate([np.empty(0, np.int64), *(order[one + apart] for one, apart in places)])
    return first, second
