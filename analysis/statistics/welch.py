"""Difference of two means whose observations are not paired."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.estimate import Estimate


def mean_difference(a: NDArray[np.float64], b: NDArray[np.float64], level: float = 0.95) -> tuple[Estimate, float]:
    """Mean of `a` [n] less mean of `b` [m], with Welch's t interval (1947), and its two-sided p-value.

    `n` of the estimate counts the observations of both. Without two observations on each side, or without any spread,
    there is no interval, and the p-value is NaN.
    """
    total = a.size + b.size
    if a.size == 0 or b.size == 0:
        return Estimate(math.nan, math.nan, math.nan, total, "no values on one side"), math.nan
    value = float(a.mean() - b.mean())
    if min(a.size, b.size) < 2:
        return Estimate(value, math.nan, math.nan, total, "one seed on a side: no interval"), math.nan
    if np.ptp(a) == 0 and np.ptp(b) == 0:
        return Estimate(value, math.nan, math.nan, total, "no spread on either side: no interval"), math.nan
    test = stats.ttest_ind(a, b, equal_var=False)
    low, high = test.confidence_interval(level)
    made = Estimate(value, float(low), float(high), total, f"Welch t, {level:.0%}, {a.size} and {b.size} seeds")
    return made, float(test.pvalue)
