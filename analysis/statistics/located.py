"""A normal estimate known to its standard error, and one-sided tests of where its true value lies.

`matches` and `better` are questions about a bound, not about zero: two one-sided tests (Schuirmann, 1987) for the
first, a test against the bound for the second. Each p-value here agrees with an interval of the same estimate.

Differences in shares of what a reference gains are ratios of two means over the same seeds. That a share is m is tested
as Fieller (1954) does it: the mean of difference − m × gain is 0, and has the t distribution of a mean. The interval
holds every m that is not rejected. It is exact on one task. Of a mean of shares over tasks, each task's share is taken
as its estimate, moved by as much as the mean would have to move.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from scipy.optimize import brentq

from finebench.analysis.statistics.crossed import over_tasks
from finebench.analysis.statistics.design import Design, independent, mean_variance
from finebench.analysis.statistics.mean import flat
from finebench.analysis.statistics.sample import Pairs, common

DOUBLED = 12
"""How often a step of an interval's half width is doubled in search of its end."""


class Located(NamedTuple):
    """`value` with standard error `se` at `df` degrees of freedom, from `n` observations; se 0 or NaN: no test.

    held: the same with the error that it has if the true value is another one; None where that makes no difference.
    """

    value: float
    se: float
    df: float
    n: int
    held: "Callable[[float], Located] | None" = None

    @property
    def testable(self) -> bool:
        """Whether there is any spread to judge the value by."""
        return math.isfinite(self.se) and self.se > 0

    def interval(self, level: float) -> tuple[float, float]:
        """The values that are not rejected, value ± t · se where that does not depend on them; NaN where there is no
        spread, infinite at an end that the data do not bound."""
        if not self.testable:
            return math.nan, math.nan
        half = float(stats.t.ppf((1 + level) / 2, self.df)) * self.se
        if self.held is None:
            return self.value - half, self.value + half
        return self._end(level, -half), self._end(level, half)

    def _end(self, level: float, step: float) -> float:
        """The first value that is rejected at this level on the way from the estimate by steps that double."""

        def left(by: float) -> float:
            """What is left of 1 − level at the estimate moved `by`; below zero where that is rejected."""
            beyond = self.p_above if by < 0 else self.p_below
            return 2 * beyond(self.value + by) - (1 - level)

        inside = 0.0
        for _ in range(DOUBLED):
            if left(step) < 0:
                return self.value + float(brentq(left, inside, step, xtol=1e-12 * abs(step), rtol=1e-9))
            inside, step = step, 2 * step
        return math.copysign(math.inf, step)

    def p_above(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true value is at most `bound`."""
        return float(stats.t.sf(*self._t(bound))) if self.testable else math.nan

    def p_below(self, bound: float) -> float:
        """One-sided p of the hypothesis that the true value is at least `bound`."""
        return float(stats.t.cdf(*self._t(bound))) if self.testable else math.nan

    def _t(self, bound: float) -> tuple[float, float]:
        """How far the value is from a bound, in standard errors, and their degrees of freedom."""
        one = self if self.held is None else self.held(bound)
        return (self.value - bound) / one.se if one.testable else math.nan, one.df


def p_within(found: Located, margin: float) -> float:
    """p that the true value lies outside ±margin: at most 0.05 exactly where the 90 % t interval lies inside."""
    return max(found.p_above(-margin), found.p_below(margin)) if found.testable else math.nan


def p_beyond(found: Located, margin: float) -> float:
    """p that it lies within ±margin: at most 0.05 exactly where the 95 % t interval lies outside."""
    return min(1.0, 2 * min(found.p_above(margin), found.p_below(-margin))) if found.testable else math.nan


def of_pairs(parts: Sequence[Pairs]) -> Located:
    """The mean paired difference, of several tasks the mean over them by the seeds that all have.

    The noise of seeds is in its error, of examples where there are predictions, of the choice of configurations where
    the same seeds made it, and of the unit where that is a mean over runs.
    """
    alike = common(parts)
    values = np.mean([one.difference for one in alike], axis=0)
    if values.size < 2:
        return Located(float(values.mean()) if values.size else math.nan, math.nan, math.nan, values.size)
    value, own = float(values.mean()), [float(one.difference.mean()) for one in alike]

    def held(at: float) -> Located:
        found = over_tasks([one.less(share + at - value) for one, share in zip(alike, own, strict=True)])
        return Located(value, math.sqrt(found.variance), found.df, values.size)

    made = held(value)
    return made._replace(held=held) if any(one.unit is not None for one in alike) else made


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
