"""How often a judge orders labelled pairs as their labels do, beside what two baselines reach on the same pairs."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl

RESAMPLES = 2_000
QUARTILES = (1.0, 0.75, 0.5, 0.25)
BASELINES = ("longer-wins", "random")
NOWHERE = float("nan")


class MarginStep(NamedTuple):
    """Agreement among the pairs that a judge is surest of."""

    top: float
    agreement: float
    n: int


class Agreement(NamedTuple):
    """Share of gold pairs that a judge orders as the label does, a tie of its scores counting one half."""

    judge: str
    n: int
    prompts: int
    agreement: float
    low: float
    high: float
    ties: int
    by_margin: list[MarginStep]
    group: str | None = None
    longer_wins: float = NOWHERE
    """What longer-wins reaches on the pairs that this judge scored."""
    random: float = NOWHERE
    """What a coin reaches on them."""
    left_out: Mapping[str, int] = MappingProxyType({})
    """Pairs that it did not score, by reason."""


def agreement(name: str, margins: pl.DataFrame, group: str | None = None) -> Agreement:
    """Agreement of one judge: `margins` has prompt_id, won (1.0 where the label says a), `m:<name>`, the judge's score
    of a less that of b, and those of the baselines; `why:<name>` says why there is none.

    The interval is the 2.5 % and 97.5 % quantile of a bootstrap over prompts, since pairs of a prompt are not
    independent.
    """
    margin = pl.col(f"m:{name}")
    scored = margins.filter(margin.is_not_null())
    left_out = _reasons(name, margins.filter(margin.is_null()))
    if scored.is_empty():
        return Agreement(name, 0, 0, NOWHERE, NOWHERE, NOWHERE, 0, [], group, left_out=left_out)
    rows = scored.select("prompt_id", margin=margin, right=_right(name))
    per_prompt = rows.group_by("prompt_id").agg(right=pl.col("right").sum(), n=pl.len()).sort("prompt_id")
    low, high = _interval(per_prompt.get_column("right").to_numpy(), per_prompt.get_column("n").to_numpy())
    surest = rows.with_columns(pl.col("margin").abs()).sort("margin", "prompt_id", descending=[True, False])
    steps = []
    for top in QUARTILES:
        part = surest.head(max(1, round(top * rows.height)))
        steps.append(MarginStep(top, _mean(part), part.height))
    ties = rows.filter(pl.col("margin") == 0).height
    known = [one if f"m:{one}" in margins.columns else None for one in BASELINES]
    longer, coin = (_mean(scored.select(right=_right(one))) if one else NOWHERE for one in known)
    figures = (rows.height, per_prompt.height, _mean(rows), low, high, ties, steps, group, longer, coin, left_out)
    return Agreement(name, *figures)


def _right(name: str) -> pl.Expr:
    """1 where the margin has the label's sign, 0 where it has the other, one half where it has none."""
    return ((pl.col(f"m:{name}").sign() * (2 * pl.col("won") - 1)) + 1) / 2


def _reasons(name: str, unscored: pl.DataFrame) -> dict[str, int]:
    if f"why:{name}" not in unscored.columns:
        return {"no score": unscored.height} if unscored.height else {}
    counts = unscored.group_by(why=pl.col(f"why:{name}").fill_null("no score")).len()
    return dict(counts.sort("len", "why", descending=[True, False]).iter_rows())


def _mean(rows: pl.DataFrame) -> float:
    return float(rows.get_column("right").sum() / rows.height)


def _interval(right: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    generator = np.random.default_rng(0)
    shares = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(0, len(right), len(right))
        shares.append(right[drawn].sum() / counts[drawn].sum())
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
