"""The jury: from each judge's scores to one utility per response."""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl


class Scale(NamedTuple):
    """Mean and standard deviation of a judge's scores over the data set."""

    mean: float
    sd: float


def scale_of(scores: np.ndarray) -> Scale:
    """Mean and population standard deviation of finite numbers, from exactly rounded sums.

    The result has the same bits in whatever order the scores come. No scores: mean 0, deviation 0.
    """
    if not len(scores):
        return Scale(0.0, 0.0)
    mean = math.fsum(scores.tolist()) / len(scores)
    return Scale(mean, math.sqrt(math.fsum(((scores - mean) ** 2).tolist()) / len(scores)))


def mean_z(scores: pl.DataFrame, scales: Mapping[str, Scale], weights: Mapping[str, float]) -> pl.DataFrame:
    """Utility: the weighted mean of z-scores over the judges.

    `scores` has prompt_id, response_id and, per judge, `<judge>` (score or null) and `<judge>!` (reason or null).
    A judge that scored no response of a prompt abstains there. A response that a judge with a vote left unscored
    while scoring others of the prompt is not ranked, and `unranked` says why: comparing utilities made of different
    judges would mislabel pairs.

    Returns the columns of the preferences table: utility and its standard error over the judges (null for fewer than
    two), rank within the prompt (1 = best, ties share the better rank), agreement (1 less the mean distance between a
    judge's rank and the jury's, as a share of the greatest possible), and the structs `scores` and `z`.
    """
    judges = list(scales)
    voting = [name for name in judges if weights.get(name, 1.0) > 0]
    frame = scores.with_columns(
        [_z(name, scales[name]).alias(f"z:{name}") for name in judges]
        + [pl.col(name).is_not_null().any().over("prompt_id").alias(f"sits:{name}") for name in voting]
    )
    why = [
        pl.when(pl.col(f"sits:{name}") & pl.col(name).is_null()).then(
            pl.format("{}: {}", pl.lit(name), pl.col(f"{name}!").fill_null("no verdict"))
        )
        for name in voting
    ]
    nobody = ~pl.any_horizontal([pl.col(f"sits:{name}") for name in voting])
    first = voting[0]
    no_judge = pl.format("{}: {}", pl.lit(first), pl.col(f"{first}!").fill_null("no verdict"))
    first_reason = pl.coalesce(*why, pl.when(nobody).then(no_judge))
    frame = frame.with_columns(unranked=first_reason)
    frame = frame.with_columns(utility=pl.when(pl.col("unranked").is_null()).then(_weighted_mean(voting, weights)))
    frame = frame.with_columns(
        utility_se=_standard_error(voting, weights),
        rank=pl.col("utility").rank("min", descending=True).over("prompt_id").cast(pl.UInt32),
    )
    return frame.with_columns(agreement=_agreement(voting, weights)).select(
        "prompt_id",
        "response_id",
        "utility",
        "utility_se",
        "rank",
        "agreement",
        "unranked",
        scores=pl.struct([pl.col(name) for name in judges]),
        z=pl.struct([pl.col(f"z:{name}").alias(name) for name in judges]),
    )


def _z(name: str, scale: Scale) -> pl.Expr:
    centred = pl.col(name) - scale.mean
    return centred / scale.sd if scale.sd > 0 else centred * 0.0


def _vote(name: str, weights: Mapping[str, float]) -> pl.Expr:
    """A judge's weight where it sits, else 0."""
    return pl.when(pl.col(f"sits:{name}")).then(weights.get(name, 1.0)).otherwise(0.0)


def _weighted_mean(voting: list[str], weights: Mapping[str, float]) -> pl.Expr:
    return _total(_vote(name, weights) * pl.col(f"z:{name}").fill_null(0.0) for name in voting) / _total(
        _vote(name, weights) for name in voting
    )


def _standard_error(voting: list[str], weights: Mapping[str, float]) -> pl.Expr:
    """Of the weighted mean over the n judges that sit, by their spread."""
    spread = _total(
        (_vote(name, weights) * (pl.col(f"z:{name}").fill_null(0.0) - pl.col("utility"))) ** 2 for name in voting
    )
    sitting = _total(pl.col(f"sits:{name}").cast(pl.Float64) for name in voting)
    total = _total(_vote(name, weights) for name in voting)
    return pl.when(sitting > 1).then((spread * sitting / (sitting - 1)).sqrt() / total)


def _agreement(voting: list[str], weights: Mapping[str, float]) -> pl.Expr:
    ranked = pl.col("utility").is_not_null()
    others = ranked.sum().over("prompt_id") - 1
    jury = pl.col("utility").rank("average").over("prompt_id")
    distance = _total(
        _vote(name, weights)
        * (pl.when(ranked).then(pl.col(f"z:{name}")).rank("average").over("prompt_id") - jury).abs().fill_null(0.0)
        for name in voting
    )
    share = distance / (_total(_vote(name, weights) for name in voting) * others)
    return pl.when(ranked).then(pl.when(others > 0).then(1.0 - share).otherwise(1.0))


def _total(terms: Iterable[pl.Expr]) -> pl.Expr:
    """Sum from left to right, so that equal inputs give equal bits."""
    first, *rest = terms
    for term in rest:
        first = first + term
    return first
