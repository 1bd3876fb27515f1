"""How many seeds would settle a claim at its own margin, or that no number would.

Never at the observed difference: that would only restate the p-value (Hoenig and Heisey, 2001). The variance of a mean
over S seeds on one fixed set of examples is per_seed / S + examples, and the second part does not shrink with seeds.
"""

import math
from typing import NamedTuple

from scipy import stats

from finebench.analysis.statistics.crossed import degrees

POWER = 0.8
"""Probability with which the claim would be decided."""

MOST = 10_000
"""More seeds than this are as good as never."""

LEAST = 6
"""Pairs below which no verdict is given."""


class Needed(NamedTuple):
    """`seeds` that settle a claim, or None; `more_examples`: by what factor the score split would have to grow then."""

    seeds: int | None
    more_examples: float | None = None


def seeds_for_margin(
    per_seed: float, examples: float, n_examples: int, margin: float, two_sided: bool = True
) -> Needed:
    """Seeds with which a true value one `margin` from its bound (`two_sided`: midway between two) would be decided.

    `two_sided`: two one-sided tests at 5 % of a true difference of 0 against ±margin; else a test at 2.5 % of a true
    value that lies one margin from the bound. `per_seed` and `examples` are the variance components of the mean.
    """

    def enough(seeds: int, share: float = 1.0) -> bool:
        return _power(per_seed, examples * share, n_examples, margin, seeds, two_sided) >= POWER

    if enough(LEAST):
        return Needed(LEAST)
    if not enough(MOST):
        return Needed(None, _factor(examples, margin, two_sided))
    low, high = LEAST, MOST
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return Needed(high)


def _factor(examples: float, margin: float, two_sided: bool) -> float | None:
    """By how much the examples must grow for the margin to be within reach of endless seeds."""
    z = (stats.norm.ppf(0.95) + stats.norm.ppf((1 + POWER) / 2)) if two_sided else stats.norm.ppf(0.975)
    wanted = (margin / float(z + (0 if two_sided else stats.norm.ppf(POWER)))) ** 2
    return examples / wanted if examples > wanted else None


def _power(per_seed: float, examples: float, n_examples: int, margin: float, seeds: int, two_sided: bool) -> float:
    variance = per_seed / seeds + examples
    if not variance > 0:
        return 1.0
    df = degrees(per_seed / seeds, seeds - 1.0, examples, n_examples)
    away = margin / math.sqrt(variance)
    if not two_sided:
        return float(stats.nct.sf(stats.t.ppf(0.975, df), df, away)) if away < 30 else 1.0
    return max(0.0, 2 * float(stats.t.cdf(away - stats.t.ppf(0.95, df), df)) - 1)


def seeds_range(
    per_seed: float, df: float, examples: float, n_examples: int, margin: float, two_sided: bool = True
) -> tuple[int | None, int | None]:
    """The seeds needed at either end of the 80 % interval of `per_seed`, which has `df` degrees of freedom (χ²).

    A pilot's variance is itself an estimate, and the number of seeds rests on it. Browne (1995) plans with its upper
    80 % bound; None: no number.
    """
    ends = [per_seed * df / float(stats.chi2.ppf(tail, df)) for tail in (0.9, 0.1)]
    low, high = (seeds_for_margin(one, examples, n_examples, margin, two_sided).seeds for one in ends)
    return low, high
