"""The further columns that a recipe asks for, put beside a release's pairs."""

from collections.abc import Callable
from typing import Any

import polars as pl

from pairwright.assets.releasing.pair_columns.base import PairColumn, read_of
from pairwright.assets.storage.store import Shard, Workspace, scan
from pairwright.schemas.errors import RecipeError
from pairwright.schemas.recipe import Recipe


def columns_of(recipe: Recipe) -> list[PairColumn]:
    """The recipe's pair columns, in its order."""
    return [one for one in recipe.release.columns if isinstance(one, PairColumn)]


def told_of(recipe: Recipe) -> dict[str, Any]:
    """What a release's bytes follow from, where the recipe asks for further columns."""
    told = [[one.name, one.stamp()] for one in columns_of(recipe)]
    return {"columns": told} if told else {}


def further_columns(
    recipe: Recipe, workspace: Workspace, shard: Shard
) -> Callable[[pl.DataFrame, pl.DataFrame], pl.DataFrame]:
    """What adds a shard's further columns to rows of a release, given the rows of the pairs table that they are of, in
    the same order. Reads no more than the columns declare.

    The function raises RecipeError for a column that is called like one that is there.
    """
    columns = columns_of(recipe)
    if not columns:
        return lambda rows, pairs: rows
    prompts = scan([workspace.file("prompts", shard)]).select("prompt_id", *_besides(columns, "prompts", "prompt_id"))
    sides = scan([workspace.file("responses", shard)]).select(
        "response_id", *_besides(columns, "responses", "response_id")
    )
    if of_jury := _besides(columns, "preferences", "response_id", *read_of(columns, "responses")):
        jury = scan([workspace.file("preferences", shard)]).select("response_id", *of_jury)
        sides = sides.join(jury, on="response_id", how="left")
    known, both = prompts.collect(), sides.collect()

    def add(rows: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
        wide = pairs.join(known, on="prompt_id", how="left", maintain_order="left")
        for side in ("chosen", "rejected"):
            one = both.rename({name: f"{side}_{name}" for name in both.columns if name != "response_id"})
            one = one.with_columns(pl.col("response_id").alias(f"{side}_response_id"))
            wide = wide.join(one, left_on=f"{side}_id", right_on="response_id", how="left", maintain_order="left")
        for column in columns:
            if column.column in rows.columns:
                raise RecipeError(
                    f"release.columns: the pairs have a column {column.column!r} already; give {column.name!r} another "
                    "`name:`"
                )
            rows = rows.with_columns(column.of(wide))
        return rows

    return add


def _besides(columns: list[PairColumn], table: str, *there: str) -> list[str]:
    """What columns read of a table, but for what is there."""
    return [name for name in read_of(columns, table) if name not in there]
