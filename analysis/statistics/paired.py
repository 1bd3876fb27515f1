"""One method's score less another's, on common seeds and common examples."""

import math

from finebench.analysis.statistics.crossed import crossed_mean, p_value
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.sample import Pairs, Sample, pair


def paired_difference(a: Sample, b: Sample, level: float = 0.95) -> Estimate:
    """Mean of a − b over common seeds, with an interval that holds the noise of seeds and of scored examples, and that
    of the choice of configurations where the same seeds made it.

    Pairs by seed and by example (`pair`); `n` counts pairs. NaN with the reason where there are no common seeds.
    """
    return difference(pair(a, b), level)


def difference(pairs: Pairs, level: float = 0.95) -> Estimate:
    """`paired_difference` of samples already paired."""
    if pairs.seeds.size == 0:
        return Estimate(math.nan, math.nan, math.nan, 0, "no seed in common")
    made = crossed_mean(pairs.scored, level)
    return made._replace(method=made.method.replace("seeds", "pairs"))


def paired_p(pairs: Pairs) -> float:
    """Two-sided p-value of no difference, by the variance of the same interval; NaN where it is undefined."""
    return p_value(pairs.scored)
