"""Whether one of two paired measurements varies more: the test of Pitman (1939) and Morgan (1939).

For paired normal a and b, var(a) = var(b) exactly where a + b and a − b are uncorrelated, so Student's test of that
correlation is a test of equal variances that uses the pairing. Scaling a by 1/√θ tests a ratio of θ; solving for those
that are not rejected gives the interval in closed form. It assumes normal scores; heavy tails make it reject too often.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]


class VarianceRatio(NamedTuple):
    """var(a) / var(b) of `n` pairs whose correlation is `r`, tested at `df` degrees of freedom."""

    ratio: float
    r: float
    df: float
    n: int

    @property
    def testable(self) -> bool:
        """Whether both vary, and not in perfect step."""
        return math.isfinite(self.ratio) and self.ratio > 0 and abs(self.r) < 1 and self.df >= 1

    def t(self, bound: float = 1.0) -> float:
        """Student's t of the correlation of sums and differences, a scaled by 1/√bound."""
        w = self.ratio / bound
        return (w - 1) * math.sqrt(self.df) / math.sqrt(4 * w * (1 - self.r**2))

    def p_above(self, bound: float = 1.0) -> float:
        """One-sided p of the hypothesis that the ratio of variances is at most `bound`."""
        return float(stats.t.sf(self.t(bound), self.df)) if self.testable else math.nan

    def p_below(self, bound: float = 1.0) -> float:
        """One-sided p of the hypothesis that it is at least `bound`."""
        return float(stats.t.cdf(self.t(bound), self.df)) if self.testable else math.nan

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The ratios that are not rejected; NaN where there is no test."""
        if not self.testable:
            return math.nan, math.nan
        quantile = float(stats.t.ppf((1 + level) / 2, self.df))
        k = 1 + 2 * (1 - self.r**2) * quantile**2 / self.df
        root = math.sqrt(k * k - 1)
        return self.ratio * (k - root), self.ratio * (k + root)


def variance_ratio(a: Array, b: Array, groups: NDArray[np.int64] | None = None) -> VarianceRatio:
    """Compare the spread of pairs `a`, `b` [n].

    With `groups` [n] (tasks), both are centred in each group and divided by the group's √(var a + var b), so that every
    group counts alike whatever its metric's scale; the degrees of freedom are n − groups − 1 (n − 2 without groups).
    """
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"pairs need equal lengths, not {a.shape} and {b.shape}")
    kinds = np.zeros(a.size, dtype=np.int64) if groups is None else groups
    x, y = np.array(a, dtype=np.float64), np.array(b, dtype=np.float64)
    for kind in np.unique(kinds):
        at = kinds == kind
        x[at], y[at] = x[at] - x[at].mean(), y[at] - y[at].mean()
        scale = math.sqrt(float((x[at] ** 2).mean() + (y[at] ** 2).mean()))
        if groups is not None and scale > 0:
            x[at], y[at] = x[at] / scale, y[at] / scale
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    df = float(a.size - np.unique(kinds).size - 1)
    if not (xx > 0 and yy > 0):
        return VarianceRatio(math.nan, math.nan, df, a.size)
    return VarianceRatio(xx / yy, float(np.clip(xy / math.sqrt(xx * yy), -1, 1)), df, a.size)
