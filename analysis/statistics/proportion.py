"""A share of runs, with an interval that is right for few."""

import math

from scipy import stats

from analysis.statistics.estimate import Estimate


def clopper_pearson(hits: float, n: int, level: float = 0.95) -> Estimate:
    """hits / n with the exact binomial interval (Clopper and Pearson, 1934); it covers at least `level`.

    Half hits (ties that count half) widen it: the lower end takes them as misses, the upper end as hits.
    """
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "nothing counted")
    tail = (1 - level) / 2
    down, up = math.floor(hits), math.ceil(hits)
    low = 0.0 if down == 0 else float(stats.beta.ppf(tail, down, n - down + 1))
    high = 1.0 if up == n else float(stats.beta.ppf(1 - tail, up + 1, n - up))
    return Estimate(hits / n, low, high, n, f"exact binomial, {level:.0%}, {n}")
