"""Whether the recipe's filters raise agreement: gold pairs as the jury would release them, filter after filter."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from pairwright.assets.auditing.agreement import Agreement, Difference, agreements, resampled, right_of
from pairwright.assets.pairing.filters.base import Filter
from pairwright.assets.pairing.pair import annotate, filters_of, with_likelihoods, with_texts
from pairwright.assets.storage.store import Workspace, read_table, scan
from pairwright.schemas.recipe import Recipe

BEFORE = "all that entered"


class FilterStep(NamedTuple):
    """What one filter lets through of the gold pairs, and how well it is labelled."""

    filter: str
    entered: int
    left: int
    unknown: int
    """Pairs that it had no value for."""
    agreements: list[Agreement]
    """Of jury and judges, on what is left."""
    change: Difference | None
    """Of the jury's agreement, from what entered to what is left."""


def after_filters(
    recipe: Recipe, workspace: Workspace, margins: pl.DataFrame, jury: str, judges: Sequence[str]
) -> list[FilterStep]:
    """Each filter's step, over the pairs that the jury orders, the side that it prefers as the chosen one.

    `margins` has the pairs with a label. Shares and cutoffs are of these pairs, not of the data set's.
    """
    filters = filters_of(recipe)
    if not filters:
        return []
    ordered = margins.filter((pl.col(f"m:{jury}") != 0).fill_null(False))
    values = _values(recipe, workspace, ordered, jury, filters)
    left = ordered.join(values, on=["id_a", "id_b"], how="left", maintain_order="left")
    steps = []
    for one in filters:
        value = pl.col(f"filter_{one.name}")
        state = one.fit(left.select("pair_id", value=value).unique("pair_id")) if one.fitted else None
        kept = left.select(one.kept(value, state)).to_series()
        after = left.filter(kept)
        change = _change(left.with_columns(kept=kept), jury)
        unknown = left.select(value.is_null().sum()).item()
        found = agreements([jury, *judges], judges, after)
        steps.append(FilterStep(one.name, left.height, after.height, unknown, found, change))
        left = after
    return steps


def _values(
    recipe: Recipe, workspace: Workspace, ordered: pl.DataFrame, jury: str, filters: Sequence[Filter]
) -> pl.DataFrame:
    """The value of every filter for each pair: id_a, id_b, pair_id, `filter_<name>`."""
    wins = pl.col(f"m:{jury}") > 0
    pairs = ordered.unique(["id_a", "id_b"], keep="first", maintain_order=True).select(
        "prompt_id",
        "id_a",
        "id_b",
        chosen_id=pl.when(wins).then("id_a").otherwise("id_b"),
        rejected_id=pl.when(wins).then("id_b").otherwise("id_a"),
    )
    voting = [name for name, weight in recipe.weights.items() if weight > 0]
    found = []
    for shard in workspace.each_shard():
        preferences = read_table(workspace.file("preferences", shard))
        mine = pairs.join(preferences, on="prompt_id", how="semi", maintain_order="left")
        mine = annotate(mine, preferences, voting)
        if any(one.needs_texts for one in filters):
            mine = with_texts(mine, scan([workspace.file("responses", shard)]))
        columns = []
        for one in filters:
            need = one.need()
            rows = with_likelihoods(mine, need, workspace, shard) if need else mine
            columns.append(one.values(rows).alias(f"filter_{one.name}"))
        found.append(mine.select("id_a", "id_b", "pair_id", *columns))
    return pl.concat(found)


def _change(entered: pl.DataFrame, jury: str) -> Difference | None:
    """The jury's agreement among the kept less that among all; the bootstrap draws prompts, kept and dropped alike."""
    rows = entered.select("prompt_id", "kept", right=right_of(jury))
    sums = (
        rows.group_by("prompt_id")
        .agg(
            all=pl.col("right").sum(),
            n=pl.len(),
            kept_right=(pl.col("right") * pl.col("kept")).sum(),
            kept=pl.col("kept").sum(),
        )
        .sort("prompt_id")
    )
    counts = sums.select("all", "n", "kept_right", "kept").to_numpy().astype(np.float64)
    if not len(counts) or not counts[:, 3].sum():
        return None
    drawn = np.concatenate(list(resampled(counts)))
    changes = [_less(one) for one in drawn if one[3]]  # a draw of prompts without a kept pair says nothing
    low, high = np.quantile(changes, [0.025, 0.975])
    return Difference(BEFORE, int(counts[:, 3].sum()), _less(counts.sum(0)), float(low), float(high))


def _less(sums: np.ndarray) -> float:
    return float(sums[2] / sums[3] - sums[0] / sums[1])
