"""A normal estimate known to its standard error, and one-sided tests of where its true value lies.

`matches` and `better` are questions about a bound, not about zero: two one-sided tests (Schuirmann, 1987) for the
first, a test against the bound for the second. Each p-value here agrees with an interval of the same estimate.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.crossed import over_tasks
from finebench.analysis.statistics.design import Design, independent, mean_variance
from finebench.analysis.statistics.mean import flat
from finebench.analysis.statistics.sample import Pairs, common


class Located(NamedTuple):
    """`value` with standard error `se` at `df` degrees of freedom, from `n` observations; se 0 or NaN: no test."""

    value: float
    se: float
    df: float
    n: int

    @property
    def testable(self) -> bool:
        """Whether there is any spread to judge the value by."""
        return math.isfinite(self.se) and self.se > 0

    def interval(self, level: float) -> tuple[float, float]:
        """Value ± t · se; NaN where there is no spread."""
        if not self.testable:
            return math.nan, math.nan
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * self.se
        return self.value - half, self.value + half

    def p_above(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true value is at most `bound`."""
        return float(stats.t.sf((self.value - bound) / self.se, self.df)) if self.testable else math.nan

    def p_below(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true value is at least `bound`."""
        return float(stats.t.cdf((self.value - bound) / self.se, self.df)) if self.testable else math.nan


def p_within(found: Located, margin: float) -> float:
    """p that the true value lies outside ±margin: at most 0.05 exactly where the 90 % t interval lies inside."""
    return max(found.p_above(-margin), found.p_below(margin)) if found.testable else math.nan


def p_beyond(found: Located, margin: float) -> float:
    """p that it lies within ±margin: at most 0.05 exactly where the 95 % t interval lies outside."""
    return min(1.0, 2 * min(found.p_above(margin), found.p_below(-margin))) if found.testable else math.nan


def of_pairs(parts: Sequence[Pairs]) -> Located:
    """The mean paired difference, of several tasks the mean over them by the seeds that all have.

    The noise of seeds is in its error, of examples where there are predictions, and of the choice of configurations
    where the same seeds made it.
    """
    alike = common(parts)
    values = np.mean([one.difference for one in alike], axis=0)
    if values.size < 2:
        return Located(float(values.mean()) if values.size else math.nan, math.nan, math.nan, values.size)
    found = over_tasks([one.scored for one in alike])
    return Located(float(values.mean()), math.sqrt(found.variance), found.df, values.size)


def of_values(values: Sequence[float] | NDArray[np.float64], over: Design | None = None) -> Located:
    """The mean of `values` [n] over seeds: independent ones, or as they stand to each other in `over`."""
    data = np.asarray(values, dtype=np.float64)
    n, of = data.size, over or independent(data.size)
    if n < 2:
        return Located(float(data.mean()) if n else math.nan, math.nan, math.nan, n)
    if flat(data) and not of.why:
        return Located(float(data.mean()), 0.0, float(max(1, min(of.counts) - 1)), n)
    variance, df = mean_variance(data, of)
    return Located(float(data.mean()), float(np.sqrt(variance)), float(df), n)
