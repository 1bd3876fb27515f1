"""Almost stochastic order: how far A is from scoring above B at every quantile.

Del Barrio et al. (2018); Dror et al. (2019). Written from the papers. ε = 0: A's quantiles are nowhere below
B's; ε = 1: everywhere below. Below 0.5 A is ahead more than behind.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.estimate import Estimate

Array = NDArray[np.float64]

LEAST = 10
"""Scores of each method from which it is given."""

RESAMPLES = 1000


def violation(a: Array, b: Array) -> Array:
    """ε [R] of `a` [R, n] against `b` [R, m]: ∫ over {F_A⁻¹ < F_B⁻¹} (F_A⁻¹ − F_B⁻¹)² dt, over the whole integral.

    The empirical quantile functions are steps, so the integral is exact: a sum over their common breaks. 0.5 where the
    two are equal everywhere, of which neither order is violated more.
    """
    n, m = a.shape[-1], b.shape[-1]
    breaks = np.unique(np.concatenate([np.arange(1, n + 1) / n, np.arange(1, m + 1) / m]).round(12))
    widths, middles = np.diff(breaks, prepend=0.0), breaks - np.diff(breaks, prepend=0.0) / 2
    qa = np.sort(a, axis=-1)[..., np.minimum((middles * n).astype(int), n - 1)]
    qb = np.sort(b, axis=-1)[..., np.minimum((middles * m).astype(int), m - 1)]
    squares = widths * (qa - qb) ** 2
    whole = squares.sum(axis=-1)
    behind = np.where(qa < qb, squares, 0.0).sum(axis=-1)
    made: Array = np.where(whole > 0, behind / np.where(whole > 0, whole, 1.0), 0.5)
    return made


def almost_stochastic_order(a: Array, b: Array, rng: np.random.Generator, level: float = 0.95) -> Estimate:
    """ε of `a` [n] over `b` [m]; `high` is the upper bound at `level` that Dror et al. call ε_min, `low` is 0.

    The bound is ε − z · σ / √(nm/(n + m)) with σ² the bootstrap variance of √(nm/(n + m)) ε, and z at 1 − level; A is
    said to be almost stochastically larger where it is below 0.5. Seeds are taken as independent draws, not as pairs.
    """
    n, m = a.size, b.size
    if min(n, m) < LEAST:
        return Estimate(math.nan, math.nan, math.nan, min(n, m), f"needs {LEAST} seeds of each, has {min(n, m)}")
    value = float(violation(a[None], b[None])[0])
    draws = violation(rng.choice(a, (RESAMPLES, n)), rng.choice(b, (RESAMPLES, m)))
    high = min(1.0, value - float(stats.norm.ppf(1 - level)) * float(draws.std(ddof=1)))
    return Estimate(value, 0.0, high, min(n, m), f"{level:.0%} upper bound, {RESAMPLES:,} resamples")
