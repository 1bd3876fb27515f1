"""Ratio of two costs, paired: the geometric mean of the pairs' ratios with Student's t on the log scale.

A ratio of means would weigh slow pairs more, and its interval would depend on which method is the denominator; on the
log scale a is twice b exactly where b is half of a.
"""

import math

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.statistics.design import Design, design
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.located import Located, of_values


def log_ratio(a: NDArray[np.float64], b: NDArray[np.float64], over: Design | None = None) -> Located:
    """Mean log(a / b) of positive pairs `a`, `b` [n] over seeds; raises ValueError where a value is not positive."""
    if a.shape != b.shape:
        raise ValueError(f"pairs need equal shapes, not {a.shape} and {b.shape}")
    if not ((a > 0) & (b > 0)).all():
        raise ValueError("a ratio needs positive values")
    return of_values(np.log(a) - np.log(b), over)


def paired_ratio(
    a: NDArray[np.float64], b: NDArray[np.float64], level: float = 0.95, seeds: NDArray[np.int64] | None = None
) -> Estimate:
    """Geometric mean of a / b over pairs [n], with its interval; pairs without two positive values are left out.

    `seeds` [n]: the pairs' seed codes, which say whether pairs share sources of randomness; independent without.
    """
    both = np.isfinite(a) & np.isfinite(b) & (a > 0) & (b > 0)
    found = log_ratio(a[both], b[both], None if seeds is None else design(seeds[both]))
    if found.n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "no pair")
    value = math.exp(found.value)
    if found.se == 0 or found.n == 1:
        value = float(a[both][0] / b[both][0])  # to the last digit
    if found.n == 1:
        return Estimate(value, math.nan, math.nan, 1, "one pair: no interval")
    if math.isnan(found.se):
        return Estimate(value, math.nan, math.nan, found.n, "crossed seeds are incomplete: no interval")
    if not found.testable:
        return Estimate(value, math.nan, math.nan, found.n, "the same in every pair: no interval")
    low, high = found.interval(level)
    return Estimate(value, math.exp(low), math.exp(high), found.n, f"log-ratio t, {level:.0%}, {found.n} pairs")
