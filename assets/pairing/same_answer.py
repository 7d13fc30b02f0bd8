"""Responses that say the same: equal answers and tool calls, whatever was thought before. No pair is made of two."""

import polars as pl


def same_answers(responses: pl.LazyFrame) -> pl.DataFrame | None:
    """response_id and `answer`, a number, of the responses of a shard that say the same as another to their prompt.

    None where no response has reasoning: then equal answers are one response.
    """
    thought = responses.filter(pl.col("reasoning").is_not_null()).select("prompt_id").unique().collect()
    if thought.is_empty():
        return None
    says = ["prompt_id", "text", "tool_calls"]
    several = responses.join(thought.lazy(), on="prompt_id", how="semi").select("response_id", *says)
    found = several.group_by(says).agg("response_id").filter(pl.col("response_id").list.len() > 1).collect()
    if found.is_empty():
        return None
    return found.select("response_id").with_row_index("answer").explode("response_id")


def unlike(sides: pl.DataFrame, same: pl.DataFrame | None) -> pl.DataFrame:
    """The pairs (response_id, rejected_id) whose sides do not say the same."""
    if same is None:
        return sides
    first = sides.join(same, on="response_id", how="left", maintain_order="left")
    other = same.rename({"response_id": "rejected_id", "answer": "_other"})
    both = first.join(other, on="rejected_id", how="left", maintain_order="left")
    return both.filter((pl.col("answer") != pl.col("_other")).fill_null(True)).drop("answer", "_other")
