"""What a pass has not read yet: responses without a row, and those whose row lacks what is asked for now."""

import polars as pl

from pairwright.assets.storage.ledger import Ledger
from pairwright.models.local.request import PassRequest, utterance_id

KEY = ["prompt_id", "response_id"]
WANTED = [*KEY, "evidence"]
"""What a reading is asked for by, beside the pass's key."""
OPTIONAL = ("token_ids", "token_logprobs", "gram", "follow_ups")
"""Columns that are null where nobody asked for them."""


def missing(need: PassRequest, ledger: Ledger, asked: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """WANTED of what is to be read, and the rows of it that are there and lack something."""
    absent = ledger.missing(asked)  # takes over what lies elsewhere, so it comes first
    known = ledger.rows().join(absent, on=WANTED, how="anti").join(asked, on=WANTED, how="semi")
    todo = _todo(need, asked, absent, known)
    return todo, known.join(todo, on=WANTED, how="semi")


def _todo(need: PassRequest, asked: pl.DataFrame, absent: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """Keys to read: those without a row, and those whose row lacks a column that is now asked for."""
    fine = known.filter(pl.col("failure").is_null())
    lacking = [absent]
    if "tokens" in need.wants:
        lacking.append(fine.filter(pl.col("token_ids").is_null()).select(WANTED))
    if need.follow_ups:
        ids = [utterance_id(text) for text in need.follow_ups]
        heard = pl.col("follow_ups").list.eval(pl.element().struct.field("utterance").is_in(ids)).list.sum()
        unheard = heard < len(ids)
        none_fit = pl.col("follow_ups").list.len() == 0
        lacking.append(fine.filter(pl.col("follow_ups").is_null() | (unheard & ~none_fit)).select(WANTED))
    todo = pl.concat(lacking).unique()
    if "hidden" in need.wants:  # a Gram matrix is of whole prompts
        partial = pl.concat([todo, _without_gram(fine)])
        todo = pl.concat([todo, asked.join(partial, on="prompt_id", how="semi")]).unique()
    return todo.sort(WANTED)


def _without_gram(fine: pl.DataFrame) -> pl.DataFrame:
    """Responses whose row of the Gram matrix lacks one of the prompt's others."""
    others = pl.col("gram").list.eval(pl.element().struct.field("other"))
    all_ids = pl.col("response_id").implode().over("prompt_id", mapping_strategy="join")
    lacks = others.is_null() | (all_ids.list.set_difference(others).list.len() > 0)
    return fine.filter(lacks).select(WANTED)


def with_known(frame: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    """New rows with what the rows before them held and nobody asked for this time."""
    old = known.select(*KEY, *(pl.col(column).alias(f"old_{column}") for column in OPTIONAL))
    both = frame.join(old, on=KEY, how="left", maintain_order="left")
    first = pl.element().struct.field("utterance").is_first_distinct()
    remarks = pl.concat_list(pl.col("follow_ups", "old_follow_ups").fill_null([])).list.eval(pl.element().filter(first))
    neither = pl.col("follow_ups").is_null() & pl.col("old_follow_ups").is_null()
    columns = [pl.coalesce(column, f"old_{column}").alias(column) for column in OPTIONAL[:-1]]
    merged = pl.when(~neither).then(remarks).alias("follow_ups")
    return both.with_columns(*columns, merged).select(frame.columns)
