"""Where the middle of the values lies: median and interquartile mean."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def median(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Median of `values` [n]; NaN where n is 0 or a value is NaN."""
    data = np.asarray(values, dtype=np.float64)
    return float(np.median(data)) if data.size else math.nan


def iqm(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Interquartile mean of `values` [n]: the mean without the lowest and highest ⌊n/4⌋ values.

    As Agarwal et al. (2021) compute it: a trimmed mean with a proportion of 0.25 at each end. NaN where n is 0 or a
    value is NaN.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.size == 0 or np.isnan(data).any():
        return math.nan
    return float(stats.trim_mean(data, 0.25))
