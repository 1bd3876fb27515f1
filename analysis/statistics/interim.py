"""What a look at a growing study says of the looks to come, and what an early stop does to the estimate."""

import math
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.group_sequential import Levels, Paths, paths
from finebench.analysis.statistics.proportion import binomial_p, upper_bound

Array = NDArray[np.float64]

WITHIN_REACH = 0.10
"""Conditional power below which a verdict is no longer within reach."""

NUMBER = 100_000
"""Simulated studies behind an outlook or an estimate; the standard error of a probability is below 0.2 %."""

_SEED = 19930107


class Sofar(NamedTuple):
    """A mean of `pairs` pairs: its value, its variance per pair, and what the examples add to that of the mean."""

    value: float
    per_pair: float
    examples: float
    pairs: int


@lru_cache(maxsize=4)
def _drawn(looks: tuple[int, ...]) -> Paths:
    return paths(looks, NUMBER, _SEED)


def conditional_power(
    sofar: Sofar, levels: Levels, low: float, high: float, alpha: float, inside: bool = False
) -> float:
    """The probability that the last look finds the mean beyond `low` or `high`, or inside both, at the value that most
    favours it among those that the pairs so far do not exclude (their 95 % interval).

    After Lan, Simon and Halperin (1982). The examples are the same at every look, so their part of the error moves the
    mean once for all. −inf and inf are ends that nothing lies beyond.
    """
    n, most = sofar.pairs, levels.looks[-1]
    if n >= most or n < 2:
        raise ValueError(f"there is nothing to foresee between {n} pairs and the last look at {most}")
    of_one = Means(np.array(sofar.value), np.array(sofar.per_pair), sofar.examples, n)
    return float(conditional_powers(of_one, levels, low, high, alpha, inside))


class Means(NamedTuple):
    """Many means of `pairs` pairs each: as in Sofar."""

    value: Array
    per_pair: Array
    examples: float
    pairs: int


def conditional_powers(
    sofar: Means, levels: Levels, low: float, high: float, alpha: float, inside: bool = False
) -> Array:
    """`conditional_power` of many studies."""
    n, most = sofar.pairs, levels.looks[-1]
    half = stats.t.ppf(0.975, n - 1) * np.sqrt(sofar.per_pair / n)
    error = levels.critical(len(levels.looks) - 1, alpha) * np.sqrt(sofar.per_pair / most + sofar.examples)
    spread = np.sqrt(sofar.per_pair * (most - n)) / most

    def ends(truth: Array) -> Array:
        made: Array = (n * sofar.value + (most - n) * truth) / most
        return made

    if inside:
        mean = ends(np.clip((low + high) / 2, sofar.value - half, sofar.value + half))
        return np.maximum(0.0, _below(high - error - mean, spread) - _below(low + error - mean, spread))
    nothing = np.zeros_like(error)
    above = 1 - _below(high + error - ends(sofar.value + half), spread) if math.isfinite(high) else nothing
    below = _below(low - error - ends(sofar.value - half), spread) if math.isfinite(low) else nothing
    return np.maximum(above, below)


def power_of_more(hits: int, others: int, pairs: int, levels: Levels) -> float:
    """The probability that the last look finds one side of a sign test to come more often: it came in `hits` of `pairs`
    so far, comes from here on as often as those do not exclude (95 %, one-sided), and the other side's `others` stay.

    Raises ValueError where no pair is to come.
    """
    rest = levels.looks[-1] - pairs
    if rest < 1 or pairs < 1:
        raise ValueError(f"there is nothing to foresee between {pairs} pairs and the last look at {levels.looks[-1]}")
    level = levels.at(len(levels.looks) - 1, 0.05)
    ends = range(hits, hits + rest + 1)
    found = [end - hits for end in ends if end > others and binomial_p(end, end + others) <= level]
    return float(np.sum(stats.binom.pmf(found, rest, upper_bound(hits, pairs))))


def power_of_pairs(pairs: int, needs: int, look: int, levels: Levels) -> float:
    """The probability that at least `needs` pairs are whole by the last look, where `pairs` of the seeds of a look
    (from 0) are, and each to come is as often as those do not exclude (95 %, one-sided); NaN at the last look."""
    seen, most = levels.looks[look], levels.looks[-1]
    if seen == most:
        return math.nan
    return float(stats.binom.sf(needs - pairs - 1, most - seen, upper_bound(pairs, seen)))


def _below(gap: Array, spread: Array) -> Array:
    """Φ(gap / spread), a step where nothing is left to scatter."""
    scaled = np.divide(gap, spread, out=np.where(gap >= 0, np.inf, -np.inf), where=spread > 0)
    return np.asarray(stats.norm.cdf(scaled), dtype=np.float64)


def median_unbiased(levels: Levels, look: int, t: float, mute: Collection[int] = ()) -> float:
    """How far the true mean lies from its bound, in standard deviations of a pair: the value of which the study would
    have gone further in half of its repetitions, and less far in the other half.

    t: Student's t against the bound at the look (from 0) that decided, or at the last; `mute`: earlier looks that could
    not stop the study, whatever they saw, for a reason outside of t. Studies are ordered by the look that stopped them
    above, the earliest first, then by t (Armitage, 1957; Jennison and Turnbull, 2000, 8.4). An estimate at an early
    stop is too far from the bound; this one is as often too far as too near.
    """
    if t < 0:
        return -median_unbiased(levels, look, -t, mute)
    drawn = _drawn(levels.looks)
    critical = [math.inf if k in mute else levels.critical(k, 0.05) for k in range(look)]

    def further(shift: float) -> float:
        ts = drawn.t(shift)
        above, running = np.zeros(NUMBER, bool), np.ones(NUMBER, bool)
        for k, bound in enumerate(critical):
            above |= running & (ts[:, k] >= bound)
            running &= np.abs(ts[:, k]) < bound
        return float(np.mean(above | (running & (ts[:, look] >= t))))

    low, high = -1.0, max(1.0, 2 * t / math.sqrt(levels.looks[look]))
    return _root(lambda shift: further(shift) - 0.5, low, high)


def _root(f: Callable[[float], float], low: float, high: float) -> float:
    """Where a rising step function crosses 0, to a thousandth."""
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return (low + high) / 2
