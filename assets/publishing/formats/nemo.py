"""NVIDIA NeMo: NeMo-RL's PreferenceDataset, and the deprecated NeMo-Aligner."""

from typing import Literal

import polars as pl

from pairwright.assets.publishing.formats.base import PLAIN_LOSES, Format, last_text, one_user_turn


class NemoRl(Format):
    """`PreferenceDataset`: rank 0 is the better one; its DPO takes exactly two."""

    kind: Literal["nemo-rl"] = "nemo-rl"
    aliases = ("nemo",)
    ending = "jsonl"

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """context, and completions with their ranks."""
        ranked = [
            pl.struct(rank=pl.lit(rank, pl.Int64), completion=pl.col(side))
            for rank, side in enumerate(("chosen", "rejected"))
        ]
        return table.select(pl.col("prompt").alias("context"), pl.concat_arr(ranked).alias("completions"))

    def loses(self) -> list[str]:
        """Only texts and their order stay."""
        return ["rankings of more than two", "ids, policies, scores and margins"]


class NemoAligner(Format):
    """NeMo-Aligner's preference files; it is no longer developed."""

    kind: Literal["nemo-aligner"] = "nemo-aligner"
    ending = "jsonl"

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """prompt and both responses as text, with their scores as rewards."""
        return table.select(
            last_text("prompt"),
            last_text("chosen").alias("chosen_response"),
            last_text("rejected").alias("rejected_response"),
            chosen_reward="score_chosen",
            rejected_reward="score_rejected",
        )

    def fits(self) -> pl.Expr:
        """The prompt is one text."""
        return one_user_turn()

    def loses(self) -> list[str]:
        """It has plain text only."""
        return ["rankings", "ids and policies", PLAIN_LOSES]
