"""Mean over seeds with Student's t interval."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.estimate import Estimate


def mean_t(values: Sequence[float] | NDArray[np.float64], level: float = 0.95) -> Estimate:
    """Mean of `values` [n] with the interval mean ± t(n-1) · sd / √n (Student, 1908).

    The interval is about the population of seeds; the noise of the scored examples is not in it. It needs two values,
    and some spread: n equal values (collapsed runs) would give an interval of width zero, which is no evidence of
    certainty. NaN among the values makes the result NaN, so that a hole is never averaged over.
    """
    data = np.asarray(values, dtype=np.float64)
    n = data.size
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "no values")
    mean = float(data.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1, "one seed: no interval")
    if np.ptp(data) == 0:
        return Estimate(mean, math.nan, math.nan, n, f"all {n} seeds scored the same: no interval")
    half = float(stats.t.ppf((1 + level) / 2, n - 1) * data.std(ddof=1) / math.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n, f"Student t, {level:.0%}, {n} seeds")
