"""Best against worst: the widest margin that a prompt has to offer."""

from typing import Literal

import polars as pl

from pairwright.assets.pairing.strategies.base import Strategy, beside, best_of


class BestVsWorst(Strategy):
    """Takes one pair of a prompt: its best response and its worst."""

    strategy: Literal["best-vs-worst"] = "best-vs-worst"

    def candidates(self, ranked: pl.DataFrame) -> pl.DataFrame:
        """First against last."""
        return beside(best_of(ranked), ranked.group_by("prompt_id", maintain_order=True).last())
