"""What a judge cannot read: known from the tables before anything is asked, and a row with the reason in place of a
verdict.

Such a row has an evidence of its own, so that a judge which is later told to read images is asked about these prompts,
and about no others again.
"""

import polars as pl

from pairwright.judges.base import Judge
from pairwright.judges.llm.typed import kinds_of
from pairwright.models.local.turns import CALLS, cannot_read

KEY = ["prompt_id", "response_id"]
EVIDENCE = "unread"
"""The evidence of a verdict that is none, for this reason."""
NO_REASONING = "has no reasoning"


def unreadable(judge: Judge, prompts: pl.LazyFrame, responses: pl.LazyFrame) -> pl.DataFrame | None:
    """prompt_id, response_id and the reason, of the responses that a judge cannot read; None where it can read all.

    A judge that asks local models has the reasons from their passes.
    """
    if judge.needs():
        return None
    found = [*_by_prompt(judge, prompts, responses), *_by_response(judge, responses)]
    rows = pl.concat(found).unique(KEY, keep="first", maintain_order=True) if found else None
    return rows if rows is not None and rows.height else None


def _by_prompt(judge: Judge, prompts: pl.LazyFrame, responses: pl.LazyFrame) -> list[pl.DataFrame]:
    if not judge.sees_prompt or not _holds(prompts, "typed"):
        return []
    typed = prompts.filter(pl.col("typed").is_not_null()).select("prompt_id", "typed").collect()
    reasons = []
    for prompt_id, one in typed.iter_rows():
        beyond = [kind for kind in kinds_of(one) if kind not in judge.modalities]
        if beyond:
            reasons.append((prompt_id, cannot_read(beyond[0])))
    if not reasons:
        return []
    frame = pl.DataFrame(reasons, schema={"prompt_id": pl.String, "reason": pl.String}, orient="row")
    return [responses.select(KEY).join(frame.lazy(), on="prompt_id", how="inner").collect()]


def _by_response(judge: Judge, responses: pl.LazyFrame) -> list[pl.DataFrame]:
    found = []
    if not judge.reads_calls and _holds(responses, "tool_calls"):
        unsaid = pl.col("tool_calls").is_not_null() & (pl.col("text") == "")
        found.append(responses.filter(unsaid).select(*KEY, reason=pl.lit(CALLS)))
    if judge.wants_reasoning:
        without = pl.col("reasoning").is_null() if "reasoning" in responses.collect_schema() else pl.lit(True)
        found.append(responses.filter(without).select(*KEY, reason=pl.lit(NO_REASONING)))
    return [one.collect() for one in found]


def _holds(rows: pl.LazyFrame, name: str) -> bool:
    """Whether a column that seldom has anything has something: told from it alone, before any text is read."""
    if name not in rows.collect_schema():
        return False
    return bool(rows.select(pl.col(name).is_not_null().any()).collect().item())


def unread_apart(judge: Judge, asked: pl.DataFrame, prompts: pl.LazyFrame, responses: pl.LazyFrame) -> pl.DataFrame:
    """Keys and evidence of verdicts, with EVIDENCE for those that the judge cannot give."""
    unread = unreadable(judge, prompts, responses)
    if unread is None:
        return asked
    told = reasons_for(asked, unread)
    evidence = pl.when(pl.col("unread").is_null()).then("evidence").otherwise(pl.lit(EVIDENCE))
    return told.with_columns(evidence=evidence).drop("unread")


def is_unread() -> pl.Expr:
    """Whether a wanted verdict is one that the judge cannot give."""
    return pl.col("evidence") == EVIDENCE


def reasons_for(keys: pl.DataFrame, unread: pl.DataFrame | None) -> pl.DataFrame:
    """`keys` of verdicts (of responses, or of two) with `unread`: why they cannot be given, null where they can."""
    if unread is None:
        return keys.with_columns(unread=pl.lit(None, pl.String))
    sides = [name for name in ("response_id", "response_a", "response_b") if name in keys.columns]
    found = []
    for side in sides:
        told = unread.select("prompt_id", pl.col("response_id").alias(side), pl.col("reason").alias(f"_{side}"))
        keys = keys.join(told, on=["prompt_id", side], how="left", maintain_order="left")
        found.append(f"_{side}")
    return keys.with_columns(unread=pl.coalesce(found)).drop(found)
