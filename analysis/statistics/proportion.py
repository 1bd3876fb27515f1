"""A share of runs, with an interval and a test that are right for few."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.design import Design, mean_variance
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.mean import flat


def clopper_pearson(hits: float, n: float, level: float = 0.95) -> Estimate:
    """hits / n with the exact binomial interval (Clopper and Pearson, 1934); it covers at least `level`.

    Half hits (ties that count half) widen it: the lower end takes them as misses, the upper end as hits. `n` need not
    be whole where it stands for so many independent draws (`effective`).
    """
    if not n > 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "nothing counted")
    tail = (1 - level) / 2
    down, up = _ends(hits, n)
    low = 0.0 if down == 0 else float(stats.beta.ppf(tail, down, n - down + 1))
    high = 1.0 if up == n else float(stats.beta.ppf(1 - tail, up + 1, n - up))
    return Estimate(hits / n, low, high, int(n), f"exact binomial, {level:.0%}, {n:.3g}")


def upper_bound(hits: float, n: float, level: float = 0.95) -> float:
    """The largest share that `hits` of `n` do not contradict, one-sided (Clopper and Pearson, 1934): 1 of no runs."""
    return 1.0 if hits >= n else float(stats.beta.ppf(level, hits + 1, n - hits))


def binomial_p(hits: float, n: float, share: float = 0.5) -> float:
    """Two-sided p of a true `share`: at most 1 − level exactly where `clopper_pearson` at that level leaves it out."""
    if not n > 0:
        return math.nan
    down, up = _ends(hits, n)
    above = 1.0 if down == 0 else float(stats.beta.cdf(share, down, n - down + 1))
    below = 1.0 if up == n else float(stats.beta.sf(share, up + 1, n - up))
    return min(1.0, 2 * min(above, below))


def _ends(hits: float, n: float) -> tuple[float, float]:
    """Half hits as misses, and as hits; a number that is not whole stands as it is where n is not."""
    return (math.floor(hits), math.ceil(hits)) if float(n).is_integer() else (hits, hits)


def effective(hit: NDArray[np.float64], of: Design) -> float:
    """How many independent draws `hit` [S] (0 to 1 each) is worth where its seeds are crossed.

    p(1 − p) over the variance of the mean, with the t quantiles' ratio squared, as Korn and Graubard (1998) have it for
    clustered surveys; never more than S. Where all are alike it is the fewest levels of a source, since one source
    could have decided all of them.
    """
    if not of.crossed:
        return float(hit.size)
    fewest, p = float(min(of.counts)), float(hit.mean())
    if flat(hit) or of.why:
        return fewest
    variance, df = mean_variance(hit, of)
    narrower = stats.t.ppf(0.975, hit.size - 1) / stats.t.ppf(0.975, float(df))
    return float(np.clip(p * (1 - p) / float(variance) * narrower**2, 1.0, hit.size))
