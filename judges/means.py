"""Means whose bits depend on the numbers alone, not on their order or on how many other groups a frame has."""

import math

import polars as pl


def exact_mean(groups: pl.Expr) -> pl.Expr:
    """The mean of each list of numbers, from an exactly rounded sum; null for an empty one.

    For groups of a `group_by`, collect them with `agg` first: what polars sums within groups is rounded by the order
    of the rows and by how it goes through the frame.
    """
    return groups.map_batches(_means, return_dtype=pl.Float64)


def _means(lists: pl.Series) -> pl.Series:
    if (lists.list.len() <= 1).all():
        return lists.list.get(0, null_on_oob=True)
    means = [math.fsum(one) / len(one) if one else None for one in lists.list.drop_nulls().to_list()]
    return pl.Series(lists.name, means, pl.Float64)
