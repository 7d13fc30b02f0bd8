"""The pairs on which judges and gold differ most, with their texts, for somebody to read."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from pairwright.schemas.errors import PairwrightError
from pairwright.schemas.files import replacing

ENDINGS = (".parquet", ".jsonl")
MOST = 100
"""Pairs of each judge."""


def check_ending(path: Path) -> None:
    """Raises PairwrightError for a file of another kind, before anything is judged."""
    if path.suffix.lower() not in ENDINGS:
        raise PairwrightError(f"{path}: cannot write {path.suffix or 'a file without ending'}; {' or '.join(ENDINGS)}")


def most_different(margins: pl.DataFrame, gold: pl.DataFrame, names: Sequence[str], most: int = MOST) -> pl.DataFrame:
    """Of each judge, the pairs that it orders against their label, widest margin first: at most `most`.

    Columns: judge, label, preferred (a or b), margin in the judge's own units, prompt_id, prompt, response_a,
    response_b, references, votes.
    """
    texts = gold.select("number", "prompt", "references", "votes")
    found = []
    for name in names:
        margin = pl.col(f"m:{name}")
        wrong = margins.filter((margin.sign() * (2 * pl.col("won") - 1) < 0).fill_null(False))
        worst = wrong.with_columns(width=margin.abs()).sort("width", "number", descending=[True, False]).head(most)
        found.append(
            worst.join(texts.rename({"votes": "said"}), on="number", how="left", maintain_order="left").select(
                "prompt_id",
                "prompt",
                "response_a",
                "response_b",
                "references",
                judge=pl.lit(name),
                label=pl.when(pl.col("won") == 1.0).then(pl.lit("a")).otherwise(pl.lit("b")),
                preferred=pl.when(margin > 0).then(pl.lit("a")).otherwise(pl.lit("b")),
                margin=pl.col("width"),
                votes="said",
            )
        )
    leading = ["judge", "label", "preferred", "margin"]
    whole = pl.concat(found)
    return whole.select(*leading, pl.exclude(leading))


def write_pairs(pairs: pl.DataFrame, path: Path) -> None:
    """Parquet or JSON Lines, by the ending."""
    with replacing(path) as temporary:
        if path.suffix.lower() == ".parquet":
            pairs.write_parquet(temporary)
        else:
            pairs.write_ndjson(temporary)
