"""Mean over seeds with Student's t interval."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.design import Design, independent, mean_variance
from finebench.analysis.statistics.estimate import Estimate

ROUNDING = 1e-9
"""Values that lie no further apart than this share of their size (or 10⁻³ of it, absolutely) differ by rounding
alone."""


def flat(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether `values` [n], n > 0, are all the same but for rounding: no spread to judge by."""
    data = np.asarray(values, dtype=np.float64)
    return bool(np.ptp(data) <= max(ROUNDING * np.abs(data).max(), ROUNDING / 1000))


def mean_t(values: Sequence[float] | NDArray[np.float64], level: float = 0.95, over: Design | None = None) -> Estimate:
    """Mean of `values` [n] with the interval mean ± t · √variance, of independent seeds mean ± t(n-1) · sd / √n
    (Student, 1908), of crossed ones (`over`) as `design` has it.

    The interval is about the population of seeds; the noise of the scored examples is not in it. It needs two values,
    and some spread: n equal values (collapsed runs) would give an interval of width zero, which is no evidence of
    certainty. NaN among the values makes the result NaN, so that a hole is never averaged over.
    """
    data = np.asarray(values, dtype=np.float64)
    n, of = data.size, over or independent(data.size)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "no values")
    mean = float(data.mean())
    if n == 1:
        return Estimate(mean, math.nan, math.nan, 1, "one seed: no interval")
    if flat(data):
        return Estimate(mean, math.nan, math.nan, n, f"all {n} seeds scored the same: no interval")
    if of.why:
        return Estimate(mean, math.nan, math.nan, n, f"{of.why}: no interval")
    variance, df = mean_variance(data, of)
    half = float(stats.t.ppf((1 + level) / 2, df) * np.sqrt(variance))
    return Estimate(mean, mean - half, mean + half, n, f"Student t, {level:.0%}, {seeds_in_words(n, of)}")


def seeds_in_words(n: int, of: Design) -> str:
    """How many seeds, and how they are crossed."""
    return f"{n} crossed seeds ({of.words})" if of.crossed else f"{n} seeds"
