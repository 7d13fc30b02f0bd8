"""Test and retest: a judge's newer verdicts beside the ones before them, over whatever rounds there are."""

from typing import NamedTuple

import polars as pl

from pairwright.assets.judging.verdicts import value_of
from pairwright.judges.base import Judge


class Again(NamedTuple):
    """How second opinions order what first opinions ordered."""

    compared: int
    """Orders of two responses of a prompt that were judged again and that the older round did not tie."""
    same: int
    """How many of them the newer round orders the same."""
    flipped: int
    """How many it orders the other way; the rest it ties."""


def opinions(judge: Judge, rows: pl.LazyFrame) -> pl.LazyFrame:
    """Each verdict of a later round (`new`) with that of the round before it (`old`): keys, evidence, criterion,
    round, old, new. Rounds without a value are left out."""
    value = pl.col(value_of(judge))
    about = [*judge.keys, "evidence", "criterion"]
    rows = rows.filter(value.is_not_null()).select(*about, "round", new=value).sort(*about, "round")
    return rows.with_columns(old=pl.col("new").shift(1).over(about)).filter(pl.col("old").is_not_null())


def again(judge: Judge, changes: pl.DataFrame) -> Again:
    """Counts over verdicts on two responses, or over the pairs of scored responses of each prompt and round."""
    if judge.asks_about == "pair":
        both = changes
        first, second = ((pl.col(name) - 0.5).sign() for name in ("old", "new"))
    else:
        both = changes.join(changes, on=["prompt_id", "evidence", "criterion", "round"], suffix="_b")
        both = both.filter(pl.col("response_id") < pl.col("response_id_b"))
        first, second = ((pl.col(name) - pl.col(f"{name}_b")).sign() for name in ("old", "new"))
    counts = both.filter(first != 0).select(
        compared=pl.len(), same=(first == second).sum(), flipped=(first == -second).sum()
    )
    return Again(*counts.row(0))
