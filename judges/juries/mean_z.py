"""Mean of z-scores: each judge's scores are centred on their mean and divided by their deviation."""

import math
from typing import Any, Literal

import numpy as np

from pairwright.judges.juries.weighted_mean import Scale, WeightedMean


class MeanZ(WeightedMean):
    """Weighted mean of each judge's z-scores over the data set."""

    method: Literal["mean-z"] = "mean-z"

    def scale(self, scores: np.ndarray) -> Scale:
        """Mean and population standard deviation."""
        return scale_of(scores)

    def fitted_by(self) -> dict[str, Any]:
        """Nothing: the scales go by the scores alone."""
        return {}


def scale_of(scores: np.ndarray) -> Scale:
    """Mean and population standard deviation of finite numbers, from exactly rounded sums.

    The result has the same bits in whatever order the scores come. No scores: mean 0, deviation 0.
    """
    if not len(scores):
        return Scale(0.0, 0.0)
    mean = math.fsum(scores.tolist()) / len(scores)
    return Scale(mean, math.sqrt(math.fsum(((scores - mean) ** 2).tolist()) / len(scores)))
