"""What is counted while the rows of a release are put together, for the checks before it is visible."""

from typing import NamedTuple

import polars as pl

from pairwright.assets.stages.basis import Inputs
from pairwright.assets.storage.store import Shard, scan


class Tally(NamedTuple):
    """What was counted while rows were put together; those of shards, and of pieces, add up."""

    pairs: int = 0
    rankings: int = 0
    without_text: int = 0
    """Pairs and rankings that lack their prompt, its split or a response."""
    same: int = 0
    """Pairs with the same response on both sides, or whose chosen side is not better."""
    longer: int = 0
    """Pairs whose chosen side is the longer one."""
    as_long: int = 0
    candidates: int = 0
    """Pairs that were drawn."""
    annotated: int = 0
    """Of those, what the filters have looked at."""
    reasoned: int = 0
    """Of those, what was dropped for a stated reason."""
    unreasoned: int = 0
    """Kept for all its reason, or dropped without one."""

    def plus(self, other: "Tally") -> "Tally":
        """Both together."""
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))


def tally_pairs(rows: pl.DataFrame) -> Tally:
    """Of pairs that are about to be released."""
    chosen, rejected = (pl.col(side).list.last().struct.field("content") for side in ("chosen", "rejected"))
    size = chosen.str.len_chars(), rejected.str.len_chars()
    same = (pl.col("chosen_id") == pl.col("rejected_id")) | (chosen == rejected)
    counts = rows.select(
        without_text=pl.any_horizontal(pl.col("prompt", "split").is_null(), chosen.is_null(), rejected.is_null()).sum(),
        same=(same | (pl.col("score_chosen") <= pl.col("score_rejected"))).sum(),
        longer=(size[0] > size[1]).sum(),
        as_long=(size[0] == size[1]).sum(),
    )
    return Tally(pairs=rows.height, **counts.row(0, named=True))


def tally_rankings(rows: pl.DataFrame) -> Tally:
    """Of rankings that are about to be released."""
    texts = pl.col("responses")
    contents = texts.list.eval(pl.element().list.last().struct.field("content").is_null().any()).list.first()
    lacking = pl.any_horizontal(
        pl.col("prompt", "split").is_null(),
        (texts.list.len() != pl.col("response_ids").list.len()).fill_null(True),
        contents.fill_null(True),
    )
    return Tally(rankings=rows.height, without_text=rows.select(lacking.sum()).item())


def tally_tables(inputs: Inputs, shard: Shard, drawn_into: str) -> Tally:
    """What the tables hold of a shard, whatever is released of it; `drawn_into` is the table of the drawn pairs."""
    reason, kept = pl.col("reason"), pl.col("kept")
    pairs = scan([inputs.file("pairs", shard)]).select(
        annotated=pl.len(),
        reasoned=(~kept & reason.is_not_null()).sum(),
        unreasoned=(kept == reason.is_not_null()).sum(),
    )
    counts = pairs.collect().row(0, named=True)
    drawn = counts["annotated"]
    if drawn_into != "pairs":
        drawn = scan([inputs.file(drawn_into, shard)]).select(pl.len()).collect().item()
    return Tally(candidates=drawn, **counts)
