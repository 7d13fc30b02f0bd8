"""The weighted mean of scores that are brought to one scale: from each judge's scores to a response's utility."""

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import polars as pl

from pairwright.judges.juries.base import Jury


class Scale(NamedTuple):
    """Centre and spread of a judge's scores over the data set: of mean-z, their mean and standard deviation."""

    mean: float
    sd: float


class WeightedMean(Jury):
    """The weighted mean over the judges of their scores in units of each one's scale, which a leaf class measures."""

    @abstractmethod
    def scale(self, scores: np.ndarray) -> Scale:
        """A judge's scale from its scores over the data set, without nulls, in any order; there may be none."""

    def fit(self, scores: Iterable[tuple[str, pl.DataFrame]]) -> pl.DataFrame:
        """Each judge's scale: judge, mean, sd."""
        rows = [(name, *self.scale(one.get_column("score").drop_nulls().to_numpy())) for name, one in scores]
        return pl.DataFrame(rows, {"judge": pl.String, "mean": pl.Float64, "sd": pl.Float64}, orient="row")

    def fitted_by(self) -> dict[str, Any]:
        """All but the weights, so that other weights leave the scales as they are."""
        return {"jury": {name: value for name, value in self.stamp().items() if name != "weights"}}

    def combine(self, scores: pl.DataFrame, state: pl.DataFrame, weights: Mapping[str, float]) -> pl.DataFrame:
        """The preferences by `weighted_mean`."""
        scales = {judge: Scale(mean, sd) for judge, mean, sd in state.select("judge", "mean", "sd").iter_rows()}
        return weighted_mean(scores, scales, weights)


def weighted_mean(scores: pl.DataFrame, scales: Mapping[str, Scale], weights: Mapping[str, float]) -> pl.DataFrame:
    """Utility: the weighted mean of z-scores over the judges.

    `scores` has prompt_id, response_id and, per judge, `<judge>` (score or null) and `<judge>!` (reason or null).
    A judge that scored no response of a prompt abstains there. A response that a judge with a vote left unscored
    while scoring others of the prompt is not ranked, and `unranked` says why: comparing utilities made of different
    judges would mislabel pairs.

    Responses whose utilities come out equal although one judge, and no other, scored them differently are told apart
    by that judge: scores that differ by less than a z-score can show are no tie.

    Returns the columns of the preferences table: utility and its standard error over the judges (null for fewer than
    two), rank within the prompt (1 = best, ties share the better rank), agreement (1 less the mean distance between a
    judge's rank and the jury's, as a share of the greatest possible), and the structs `scores` and `z`.

    Numbers of a row come from that row and the scales by numpy's arithmetic, one operation at a time: polars takes the
    reciprocal of a divisor that is the same in all rows of a frame, so that the last bit would go by the other rows.
    """
    judges = list(scales)
    voting = [name for name in judges if weights.get(name, 1.0) > 0]
    z = {name: _z(scores.get_column(name).to_numpy(), scales[name]) for name in judges}
    frame = scores.with_columns(pl.Series(f"z:{name}", z[name], nan_to_null=True) for name in judges)
    sits = [pl.col(name).is_not_null().any().over("prompt_id").alias(f"sits:{name}") for name in voting]
    frame = frame.with_columns(sits)
    frame = frame.with_columns(unranked=_unranked(voting))
    votes = _Votes.of(frame, voting, weights, z)
    frame = frame.with_columns(pl.Series("utility", votes.mean(), nan_to_null=True))
    frame = frame.with_columns(utility=pl.when(pl.col("unranked").is_null()).then("utility"))
    frame = _told_apart(frame, voting)
    frame = frame.with_columns(
        pl.Series("utility_se", votes.standard_error(frame.get_column("utility").to_numpy()), nan_to_null=True),
        rank=pl.col("utility").rank("min", descending=True).over("prompt_id").cast(pl.UInt32),
    )
    return frame.with_columns(pl.Series("agreement", _agreement(frame, voting, votes), nan_to_null=True)).select(
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


def _z(scores: np.ndarray, scale: Scale) -> np.ndarray:
    """NaN where there is no score; 0 where the judge's scores do not differ by anything that a number can show."""
    one_over = 1.0 / scale.sd if scale.sd > 0 else 0.0
    return np.asarray((scores - scale.mean) * (one_over if math.isfinite(one_over) else 0.0))


def _unranked(voting: Sequence[str]) -> pl.Expr:
    """Why a response has no utility: the first judge that sits and left it out; else, that no judge sits."""
    said = {name: pl.format("{}: {}", pl.lit(name), pl.col(f"{name}!").fill_null("no verdict")) for name in voting}
    sits = {name: pl.col(f"sits:{name}") for name in voting}
    left_out = [pl.when(sits[name] & pl.col(name).is_null()).then(said[name]) for name in voting]
    return pl.coalesce(*left_out, pl.when(~pl.any_horizontal(sits.values())).then(said[voting[0]]))


class _Votes(NamedTuple):
    """What the judges with a vote say, a number a row."""

    weights: list[np.ndarray]
    """Of each judge; 0 where it does not sit."""
    z: list[np.ndarray]
    """Of each judge; 0 where it gave no score."""
    total: np.ndarray
    """Sum of the weights."""
    sitting: np.ndarray
    """How many judges sit."""

    @classmethod
    def of(
        cls, frame: pl.DataFrame, voting: Sequence[str], weights: Mapping[str, float], z: Mapping[str, np.ndarray]
    ) -> Self:
        sits = [frame.get_column(f"sits:{name}").to_numpy() for name in voting]
        weighed = [np.where(one, weights.get(name, 1.0), 0.0) for name, one in zip(voting, sits, strict=True)]
        filled = [np.nan_to_num(z[name]) for name in voting]
        return cls(weighed, filled, _total(weighed), _total(one.astype(np.float64) for one in sits))

    def mean(self) -> np.ndarray:
        """Weighted mean of the z-scores; of one judge, its z-score as it is."""
        alone = _total(np.where(weight > 0, z, 0.0) for weight, z in zip(self.weights, self.z, strict=True))
        summed = _total(weight * z for weight, z in zip(self.weights, self.z, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):  # where nobody sits
            return np.where(self.sitting == 1, alone, summed * (1.0 / self.total))

    def standard_error(self, utility: np.ndarray) -> np.ndarray:
        """Of the weighted mean over the n judges that sit, by their spread; NaN for fewer than two."""
        spread = _total((weight * (z - utility)) ** 2 for weight, z in zip(self.weights, self.z, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt(spread * self.sitting / (self.sitting - 1)) * (1.0 / self.total)
        return np.where(self.sitting > 1, error, np.nan)


def _told_apart(frame: pl.DataFrame, voting: Sequence[str]) -> pl.DataFrame:
    """Equal utilities of a prompt's responses that one judge alone scored differently, in the order of its scores.

    They go up by the least step that a number can take, and never past a response that was above them.
    """
    together = ["prompt_id", "utility"]
    rows = frame.select(*together, *voting).with_row_index("row").drop_nulls("utility")
    tied = rows.filter(pl.struct(together).is_duplicated())
    differs = [(pl.col(name).min() != pl.col(name).max()).over(together).fill_null(False) for name in voting]
    own = pl.coalesce(pl.when(one).then(name) for name, one in zip(voting, differs, strict=True))
    tied = tied.select("row", "prompt_id", own=pl.when(pl.sum_horizontal(differs) == 1).then(own)).drop_nulls("own")
    if tied.is_empty():
        return frame
    near = rows.join(tied, on="prompt_id", how="semi").join(tied.drop("prompt_id"), on="row", how="left")
    near = near.sort("prompt_id", "utility", "own", "row")
    raised: list[float] = []
    before: tuple[str, float, float | None] | None = None
    for key in near.select("prompt_id", "utility", "own").iter_rows():
        same_prompt = before is not None and before[0] == key[0]
        step = raised[-1] if key == before else math.nextafter(raised[-1], math.inf) if same_prompt else -math.inf
        raised.append(max(key[1], step))
        before = key
    utility = frame.get_column("utility").scatter(near.get_column("row"), pl.Series(raised))
    return frame.with_columns(utility)


def _agreement(frame: pl.DataFrame, voting: Sequence[str], votes: _Votes) -> np.ndarray:
    ranked = pl.col("utility").is_not_null()
    own = [pl.when(ranked).then(name).rank("average").over("prompt_id") for name in voting]
    jury = pl.col("utility").rank("average").over("prompt_id")
    places = [(one - jury).abs().fill_null(0.0).alias(name) for name, one in zip(voting, own, strict=True)]
    off = frame.select(places)
    others = frame.select(ranked.sum().over("prompt_id").cast(pl.Float64) - 1).to_series().to_numpy()
    distance = _total(
        weight * off.get_column(name).to_numpy() for name, weight in zip(voting, votes.weights, strict=True)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        agreement = np.where(others > 0, 1.0 - distance / (votes.total * others), 1.0)
    return np.where(frame.get_column("utility").is_null().to_numpy(), np.nan, agreement)


def _total(terms: Iterable[np.ndarray]) -> np.ndarray:
    """Sum from left to right, so that equal inputs give equal bits."""
    first, *rest = terms
    for term in rest:
        first = first + term
    return first
