"""How often one method scores above another on the same seed, and what may be said of it (Bouthillier et al., 2021)."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.estimate import Estimate
from analysis.statistics.proportion import clopper_pearson

Array = NDArray[np.float64]

GAMMA = 0.75
"""P(A > B) from which a difference is called meaningful; the paper's recommendation."""

BOOTSTRAP_FROM = 29
"""Pairs that the paper's rule needs for 5 % errors of both kinds (Noether, 1987: 28.86)."""

LEAST = 6
"""Below this no verdict: even six wins in six have a two-sided p of 0.03, five in five 0.06."""

RESAMPLES = 2000


class Superiority(NamedTuple):
    """P(A > B) with its interval, and the verdict: a word, or why there is none."""

    estimate: Estimate
    verdict: str


def superiority(difference: Array, rng: np.random.Generator, level: float = 0.95) -> Superiority:
    """P(A > B) of pair differences [n], ties counting half, and the three-way verdict of the paper's appendix C.

    From 29 pairs on the interval is the percentile bootstrap over pairs; below, it is the exact binomial one, since at
    3 pairs the bootstrap declares a winner in one null comparison of four. The rule is applied to the side ahead.
    """
    n = difference.size
    wins = float(np.sum(difference > 0) + 0.5 * np.sum(difference == 0))
    if n == 0:
        return Superiority(Estimate(math.nan, math.nan, math.nan, 0, "no seed in common"), "no pairs")
    if n >= BOOTSTRAP_FROM:
        score = np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))
        draws = rng.choice(score, (RESAMPLES, n)).mean(axis=1)
        low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
        made = Estimate(wins / n, float(low), float(high), n, f"percentile bootstrap, {level:.0%}, {n} pairs")
    else:
        exact = clopper_pearson(wins, n, level)
        made = exact._replace(method=f"exact binomial, {level:.0%}, {n} pairs")
    return Superiority(made, _verdict(made))


def _verdict(made: Estimate) -> str:
    if made.n < LEAST:
        return f"none: {made.n} of the {LEAST} pairs that a verdict needs"
    low, high = (made.low, made.high) if made.value >= 0.5 else (1 - made.high, 1 - made.low)
    if low <= 0.5:
        return "not significant"
    return "meaningful" if high > GAMMA else "significant, not meaningful"
