"""A jury: medians in place of means."""

from typing import Literal

import numpy as np

from pairwright.judges.juries.weighted_mean import Scale, WeightedMean


class Robust(WeightedMean):
    """Weighted mean of scores less their judge's median, in units of its median deviation: outliers count for less."""

    method: Literal["example-robust"] = "example-robust"

    def scale(self, scores: np.ndarray) -> Scale:
        """Median and median absolute deviation over the data set."""
        middle = float(np.median(scores)) if len(scores) else 0.0
        return Scale(middle, float(np.median(abs(scores - middle))) if len(scores) else 0.0)
