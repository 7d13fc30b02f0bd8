"""The layouts of well-known published sets: ultrafeedback_binarized, Tulu 3, RewardBench."""

from typing import Literal

import polars as pl

from pairwright.assets.publishing.formats.base import (
    PLAIN_LOSES,
    Format,
    alternating,
    conversation,
    last_text,
    one_user_turn,
    roles,
)


class UltraFeedback(Format):
    """`ultrafeedback_binarized`: preferences, and for SFT and generation the best chosen response of each prompt."""

    kind: Literal["ultrafeedback"] = "ultrafeedback"
    aliases = ("sft", "zephyr", "alignment-handbook")

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """prompt (the last user turn), prompt_id, chosen, rejected, messages, score_chosen, score_rejected."""
        whole = conversation("chosen")
        return table.select(
            last_text("prompt"),
            "prompt_id",
            whole,
            conversation("rejected"),
            whole.alias("messages"),
            "score_chosen",
            "score_rejected",
        )

    def files(self, split: str, table: pl.LazyFrame) -> dict[str, pl.LazyFrame]:
        """`<split>_prefs`, and `<split>_sft` and `<split>_gen` with one row a prompt."""
        best = (
            table.select("prompt_id", "pair_id", "score_chosen")
            .collect(engine="streaming")
            .sort("prompt_id", "score_chosen", "pair_id", descending=[False, True, False])
            .unique("prompt_id", keep="first", maintain_order=True)
        )
        one_each = table.join(best.lazy().select("pair_id"), on="pair_id", how="semi", maintain_order="left")
        return {
            f"{split}_prefs": self.rows(table),
            f"{split}_sft": self.rows(one_each),
            f"{split}_gen": self.rows(one_each),
        }

    def loses(self) -> list[str]:
        """The margin is the difference of the scores."""
        return ["rankings", "policies and each judge's scores"]


class Tulu(Format):
    """The preference mixtures of Tulu 3."""

    kind: Literal["tulu"] = "tulu"
    aliases = ("open-instruct",)

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """id, prompt (the last user turn), both conversations, source, and each side's rating and model."""
        models = [pl.col(f"{side}_policies").list.join(", ").alias(f"{side}_model") for side in ("chosen", "rejected")]
        return table.select(
            pl.col("pair_id").alias("id"),
            last_text("prompt"),
            conversation("chosen"),
            conversation("rejected"),
            "source",
            *models,
            chosen_rating="score_chosen",
            rejected_rating="score_rejected",
        )

    def loses(self) -> list[str]:
        """It is the widest of the published layouts."""
        return ["rankings", "each judge's scores"]


class RewardBench(Format):
    """A custom set for RewardBench, read with `--dataset FILE --load_json`."""

    kind: Literal["rewardbench"] = "rewardbench"
    ending = "jsonl"

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """prompt (the last user turn), and both conversations."""
        return table.select(
            last_text("prompt"),
            conversation("chosen"),
            conversation("rejected"),
        )

    def fits(self) -> pl.Expr:
        """It numbers the turns and calls the odd ones the user's, whatever their role; it has no other roles."""
        return alternating() & roles().list.eval(pl.element().is_in(["user", "assistant"])).list.all()

    def loses(self) -> list[str]:
        """It compares two texts."""
        return [
            "rankings",
            "ids, policies, scores and margins",
            "prompts with turns of a system, a tool or out of turn",
        ]


class RewardBench2(Format):
    """RewardBench 2: the best responses of a prompt against all others."""

    kind: Literal["rewardbench-2"] = "rewardbench-2"
    ending = "jsonl"
    table = "rankings"

    def rows(self, table: pl.LazyFrame) -> pl.LazyFrame:
        """id, prompt, chosen and rejected (lists of texts), their numbers, models and subset (the domain)."""
        texts = pl.col("responses").list.eval(pl.element().list.last().struct.field("content"))
        best = _best()
        models = pl.col("policies").list.eval(pl.element().list.join(", "))
        return table.select(
            pl.col("prompt_id").alias("id"),
            last_text("prompt"),
            texts.list.head(best).alias("chosen"),
            texts.list.slice(best).alias("rejected"),
            best.cast(pl.Int64).alias("num_correct"),
            (texts.list.len() - best).cast(pl.Int64).alias("num_incorrect"),
            texts.list.len().cast(pl.Int64).alias("total_completions"),
            models.alias("models"),
            pl.col("domain").alias("subset"),
        )

    def fits(self) -> pl.Expr:
        """Something must be worse than the best, and the prompt is bare text."""
        return one_user_turn() & (_best() < pl.col("ranks").list.len())

    def loses(self) -> list[str]:
        """Responses are right or wrong here."""
        return ["scores, and the order among the rejected", PLAIN_LOSES, "prompts whose responses are all tied"]


def _best() -> pl.Expr:
    """How many responses share the first rank; they come first."""
    return pl.col("ranks").list.eval(pl.element() == 1).list.sum()
