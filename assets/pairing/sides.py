"""What is known of both sides of pairs: preferences, texts and a model's readings, joined by key."""

import polars as pl

from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.models.local.request import PassRequest


def annotate(drawn: pl.DataFrame, preferences: pl.DataFrame, judges: list[str]) -> pl.DataFrame:
    """Drawn pairs with both sides' preferences: all columns of the pairs table but kept and reason, and the structs
    `scores_chosen` and `scores_rejected`.

    Over `judges`, those with a vote: strength is the plain mean of the z-score difference ("Secrets of RLHF II");
    label_confidence the share that scored chosen above rejected, a tie counting one half.
    """
    side = preferences.select("response_id", "utility", "scores", "z")  # the id names its prompt, too
    pairs = drawn
    for name in ("chosen", "rejected"):
        renamed = side.rename(
            {
                "response_id": f"{name}_id",
                "utility": f"score_{name}",
                "scores": f"scores_{name}",
                "z": f"z_{name}",
            }
        )
        pairs = pairs.join(renamed, on=f"{name}_id", how="left", maintain_order="left")
    z, scores = (
        [pl.col(f"{what}_chosen").struct.field(name) - pl.col(f"{what}_rejected").struct.field(name) for name in judges]
        for what in ("z", "scores")
    )
    votes = [(one.sign() + 1) / 2 for one in scores]  # which may differ by less than z can show
    return pairs.with_columns(
        pair_id=pl.col("chosen_id").str.slice(0, 12) + pl.col("rejected_id").str.slice(0, 12),
        margin=pl.col("score_chosen") - pl.col("score_rejected"),
        strength=pl.mean_horizontal(z),
        label_confidence=pl.mean_horizontal(votes),
        weight=pl.lit(1.0),
    ).drop("z_chosen", "z_rejected")


def with_texts(pairs: pl.DataFrame, responses: pl.LazyFrame) -> pl.DataFrame:
    """The pairs with the texts of both sides, by key."""
    texts = responses.select("response_id", "text")
    lazy = pairs.lazy()
    for side in ("chosen", "rejected"):
        one = texts.rename({"response_id": f"{side}_id", "text": side})
        lazy = lazy.join(one, on=f"{side}_id", how="left", maintain_order="left")
    return lazy.collect()


def with_likelihoods(pairs: pl.DataFrame, need: PassRequest, workspace: Workspace, shard: Shard) -> pl.DataFrame:
    """The pairs with a model's row of both sides as structs `likelihood_chosen` and `likelihood_rejected`, by key."""
    rows = scan([workspace.file(need.table, shard)]).drop("evidence", "follow_ups", "token_logprobs")
    lazy = pairs.lazy()
    for side in ("chosen", "rejected"):
        one = rows.select(
            "prompt_id", pl.col("response_id").alias(f"{side}_id"), pl.struct(pl.all()).alias(f"likelihood_{side}")
        )
        lazy = lazy.join(one, on=["prompt_id", f"{side}_id"], how="left", maintain_order="left")
    return lazy.collect()
