"""How often a judge orders labelled pairs as their labels do, beside what two baselines reach on the same pairs."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import polars as pl

RESAMPLES = 2_000
AT_ONCE = 1_000_000
"""Numbers drawn at a time."""
QUARTILES = (1.0, 0.75, 0.5, 0.25)
LONGER = "longer-wins"
BASELINES = (LONGER, "random")
ANNOTATORS = "other annotators"
"""Whoever else labelled a pair, as a judge of each one's label: what a judge can reach where labels differ."""
NOWHERE = float("nan")


class MarginStep(NamedTuple):
    """Agreement among the pairs that a judge is surest of."""

    top: float
    agreement: float
    n: int


class Difference(NamedTuple):
    """By how much a judge agrees more than another on the pairs that both scored, paired."""

    than: str
    n: int
    difference: float
    low: float
    high: float


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
    picks_longer: float = NOWHERE
    """Share of the pairs of unequal length, its ties left out, in which it takes the longer side."""
    against_longer: Difference | None = None
    against_best: Difference | None = None
    """The best is the judge, not the jury, of the greatest agreement."""


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
    rows = scored.select("prompt_id", margin=margin, right=right_of(name))
    prompts, low, high = interval(rows)
    surest = rows.with_columns(pl.col("margin").abs()).sort("margin", "prompt_id", descending=[True, False])
    steps = []
    for top in QUARTILES:
        part = surest.head(max(1, round(top * rows.height)))
        steps.append(MarginStep(top, mean(part), part.height))
    ties = rows.filter(pl.col("margin") == 0).height
    known = [one if f"m:{one}" in margins.columns else None for one in BASELINES]
    longer, coin = (mean(scored.select(right=right_of(one))) if one else NOWHERE for one in known)
    figures = (rows.height, prompts, mean(rows), low, high, ties, steps, group, longer, coin, left_out)
    against = None if name == LONGER else difference(name, LONGER, scored)
    return Agreement(name, *figures, _picks_longer(name, scored), against)


def agreements(
    names: Sequence[str], judges: Sequence[str], margins: pl.DataFrame, group: str | None = None
) -> list[Agreement]:
    """The agreement of each of the names, held against the best of the judges."""
    found = [agreement(name, margins, group) for name in names]
    best = max((one for one in found if one.judge in judges and one.n), key=lambda one: one.agreement, default=None)
    if best is None:
        return found
    others = [one.judge not in (best.judge, *BASELINES) for one in found]
    return [
        one._replace(against_best=difference(one.judge, best.judge, margins)) if other else one
        for one, other in zip(found, others, strict=True)
    ]


def difference(name: str, than: str, margins: pl.DataFrame) -> Difference | None:
    """What a judge agrees more than another, over the pairs that both scored; None where there is none."""
    if not {f"m:{name}", f"m:{than}"} <= set(margins.columns):
        return None
    rows = margins.select("prompt_id", right=right_of(name) - right_of(than)).drop_nulls()
    if rows.is_empty():
        return None
    _, low, high = interval(rows)
    return Difference(than, rows.height, mean(rows), low, high)


def between_annotators(margins: pl.DataFrame, only: str | None = None) -> Agreement | None:
    """How often the annotators of a pair say what another of them says; None where no pair has two.

    By the same rule as a judge's: what one calls a tie is not compared, a tie of the other's counts one half. `only`:
    what the others say of one annotator's labels.
    """
    votes = margins.select("number", "prompt_id", vote="votes").explode("vote", empty_as_null=False).unnest("vote")
    both = votes.join(votes.select("number", other="annotator", said="won"), on="number")
    both = both.filter((pl.col("annotator") != pl.col("other")) & (pl.col("won") != 0.5))
    both = both if only is None else both.filter(pl.col("annotator") == only)
    right = ((2 * pl.col("said") - 1) * (2 * pl.col("won") - 1) + 1) / 2
    rows = both.group_by("number", "prompt_id").agg(right=right.mean()).sort("number")
    if rows.is_empty():
        return None
    prompts, low, high = interval(rows)
    there = margins.join(rows, on="number", how="semi")
    longer, coin = (mean(there.filter(pl.col("won").is_not_null()).select(right=right_of(one))) for one in BASELINES)
    ties = both.filter(pl.col("said") == 0.5).get_column("number").n_unique()
    return Agreement(ANNOTATORS, rows.height, prompts, mean(rows), low, high, ties, [], None, longer, coin)


def right_of(name: str) -> pl.Expr:
    """1 where a judge's margin has the label's sign, 0 where it has the other, one half where it has none."""
    return ((pl.col(f"m:{name}").sign() * (2 * pl.col("won") - 1)) + 1) / 2


def _picks_longer(name: str, scored: pl.DataFrame) -> float:
    """NaN where no pair shows it."""
    if f"m:{LONGER}" not in scored.columns:
        return NOWHERE
    signs = scored.select(own=pl.col(f"m:{name}").sign(), longer=pl.col(f"m:{LONGER}").sign())
    shown = signs.filter((pl.col("own") != 0) & (pl.col("longer") != 0))
    return mean(shown.select(right=(pl.col("own") == pl.col("longer")).cast(pl.Float64)))


def _reasons(name: str, unscored: pl.DataFrame) -> dict[str, int]:
    if f"why:{name}" not in unscored.columns:
        return {"no score": unscored.height} if unscored.height else {}
    counts = unscored.group_by(why=pl.col(f"why:{name}").fill_null("no score")).len()
    return dict(counts.sort("len", "why", descending=[True, False]).iter_rows())


def mean(rows: pl.DataFrame) -> float:
    """Of the column `right`; NaN of nothing."""
    return float(rows.get_column("right").sum() / rows.height) if rows.height else NOWHERE


def interval(rows: pl.DataFrame) -> tuple[int, float, float]:
    """How many prompts there are, and the 95 % interval of the mean of `right` by a bootstrap over them."""
    sums = rows.group_by("prompt_id").agg(right=pl.col("right").sum(), n=pl.len()).sort("prompt_id")
    right, counts = sums.get_column("right").to_numpy(), sums.get_column("n").to_numpy()
    shares = [part[:, 0] / part[:, 1] for part in resampled(np.stack([right, counts], axis=1))]
    low, high = np.quantile(np.concatenate(shares), [0.025, 0.975])
    return sums.height, float(low), float(high)


def resampled(sums: np.ndarray) -> Iterator[np.ndarray]:
    """Column sums over RESAMPLES draws of as many rows as there are, with replacement, some draws at a time."""
    generator = np.random.default_rng(0)
    at_once = max(1, AT_ONCE // len(sums))
    for start in range(0, RESAMPLES, at_once):
        drawn = generator.integers(0, len(sums), (min(at_once, RESAMPLES - start), len(sums)))
        yield sums[drawn].sum(1)
