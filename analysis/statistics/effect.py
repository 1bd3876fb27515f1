"""The size of a paired difference in units of its own noise."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from finebench.analysis.statistics.mean import flat

FAR = 1e3
"""|t| beyond which the non-central t distribution is not computed: pairs that hardly differ from each other."""


class Standardised(NamedTuple):
    """`value`, mean over standard deviation `sd` of the pairs, with its interval."""

    value: float
    low: float
    high: float
    sd: float


def standardised(difference: NDArray[np.float64], level: float = 0.95) -> Standardised:
    """Cohen's (1988) d_z of independent pair differences [n]: their mean over their standard deviation.

    The interval holds every size at which the observed t is no surprise: t of n pairs is non-central with δ = d_z √n
    (Steiger and Fouladi, 1997). d_z itself is slightly too large in few pairs; it is not corrected. NaN without two
    pairs or without spread.
    """
    n = difference.size
    if n < 2 or flat(difference):
        return Standardised(math.nan, math.nan, math.nan, 0.0 if n > 1 else math.nan)
    sd, root = float(difference.std(ddof=1)), math.sqrt(n)
    value = float(difference.mean()) / sd
    if abs(value * root) > FAR:
        return Standardised(value, math.nan, math.nan, sd)
    tails = ((1 + level) / 2, (1 - level) / 2)
    low, high = (_size(value * root, n - 1, tail) / root for tail in tails)
    return Standardised(value, low, high, sd)


def _size(t: float, df: int, tail: float) -> float:
    """δ at which t is the `tail` quantile of the non-central t distribution."""
    low = high = t  # the distribution function falls as δ grows
    while special.nctdtr(df, low, t) < tail:
        low -= 1 + abs(low) / 2
    while special.nctdtr(df, high, t) > tail:
        high += 1 + abs(high) / 2
    return float(optimize.brentq(lambda delta: special.nctdtr(df, delta, t) - tail, low, high))
