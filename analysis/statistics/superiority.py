"""How often one method scores above another on the same seed, and what may be said of it (Bouthillier et al., 2021)."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.statistics.design import Design
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.proportion import binomial_p, clopper_pearson, effective

Array = NDArray[np.float64]

ALPHA = 0.05

GAMMA = 0.75
"""P(A > B) from which a difference is called meaningful; the paper's recommendation."""

LEAST = 6
"""Below this no verdict: even six wins in six have a two-sided p of 0.03, five in five 0.06."""


class Superiority(NamedTuple):
    """P(A > B) with its interval, and the two-sided p of its being one half."""

    estimate: Estimate
    p: float


def superiority(difference: Array, of: Design, level: float = 0.95) -> Superiority:
    """P(A > B) of pair differences [n] over seeds, ties counting half.

    The interval is the exact binomial one at any number of pairs, so that the p-value of the same test agrees with
    it; the paper's percentile bootstrap declares a winner in one null comparison of four at 3 pairs. Crossed seeds
    count for as many independent pairs as they are worth (`effective`).
    """
    n = difference.size
    if n == 0:
        return Superiority(Estimate(math.nan, math.nan, math.nan, 0, "no seed in common"), math.nan)
    won = np.where(difference > 0, 1.0, np.where(difference == 0, 0.5, 0.0))
    worth = effective(won, of)
    hits = float(won.mean()) * worth
    exact = clopper_pearson(hits, worth, level)
    pairs = f"{n} crossed pairs, worth {worth:.3g}" if of.crossed else f"{n} pairs"
    return Superiority(exact._replace(n=n, method=f"exact binomial, {level:.0%}, {pairs}"), binomial_p(hits, worth))


def verdict(found: Estimate, p: float) -> str:
    """The three-way verdict of the paper's appendix C on the side that is ahead; `p`: corrected over what is
    compared."""
    if found.n == 0:
        return "no pairs"
    if found.n < LEAST:
        return f"none: {found.n} of the {LEAST} pairs that a verdict needs"
    if not p <= ALPHA:
        return "not significant"
    return "meaningful" if max(found.high, 1 - found.low) > GAMMA else "significant, not meaningful"
