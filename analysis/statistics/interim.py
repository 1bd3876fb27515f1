"""What a look at a growing study says of the looks to come, and what an early stop does to the estimate."""

import math
from collections.abc import Callable
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
    half = float(stats.t.ppf(0.975, n - 1)) * math.sqrt(sofar.per_pair / n)
    error = levels.critical(len(levels.looks) - 1, alpha) * math.sqrt(sofar.per_pair / most + sofar.examples)
    spread = math.sqrt(sofar.per_pair * (most - n)) / most

    def ends(truth: float) -> float:
        return (n * sofar.value + (most - n) * truth) / most

    if inside:
        centre = (low + high) / 2
        mean = ends(min(max(centre, sofar.value - half), sofar.value + half))
        return max(0.0, _below(high - error - mean, spread) - _below(low + error - mean, spread))
    above = 1 - _below(high + error - ends(sofar.value + half), spread) if math.isfinite(high) else 0.0
    below = _below(low - error - ends(sofar.value - half), spread) if math.isfinite(low) else 0.0
    return max(above, below)


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


def _below(gap: float, spread: float) -> float:
    return float(stats.norm.cdf(gap / spread)) if spread > 0 else float(gap >= 0)


def median_unbiased(levels: Levels, look: int, t: float) -> float:
    """How far the true mean lies from its bound, in standard deviations of a pair: the value of which the study would
    have gone further in half of its repetitions, and less far in the other half.

    t: Student's t against the bound at the look (from 0) that decided, or at the last. Studies are ordered by the look
    that stopped them above, the earliest first, then by t (Armitage, 1957; Jennison and Turnbull, 2000, 8.4). An
    estimate at an early stop is too far from the bound; this one is as often too far as too near.
    """
    if t < 0:
        return -median_unbiased(levels, look, -t)
    drawn = _drawn(levels.looks)
    critical = [levels.critical(k, 0.05) for k in range(look)]

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


class Outlook(NamedTuple):
    """By each look: the probability that the claim is supported, that it is refuted, and that it still runs after it.

    seeds: the mean number of pairs used.
    """

    supported: Array
    refuted: Array
    seeds: float


def outlook(
    levels: Levels, effect: float, sd: float, margin: float, equivalence: bool, examples: float = 0.0
) -> Outlook:
    """What looks will find where the true difference is `effect` and that of a pair scatters by `sd`.

    equivalence: whether the claim is of a difference inside ±margin, or above `margin`. examples: the standard error
    that the scored examples add to the mean. Each claim by itself, and runs that do not collapse.
    """
    drawn = _drawn(levels.looks)
    moved = np.random.Generator(np.random.Philox(_SEED + 1)).normal(0.0, examples or 0.0, (NUMBER, 1))
    value = effect + moved + sd * drawn.mean
    error = np.sqrt((sd * drawn.sd) ** 2 / drawn.looks + examples**2)
    wide = np.array([levels.critical(k, 0.05) for k in range(len(levels.looks))])
    narrow = np.array([levels.critical(k, 0.10) for k in range(len(levels.looks))])
    if equivalence:
        supports = (value + margin >= narrow * error) & (margin - value >= narrow * error)
        refutes = (value - margin >= wide * error) | (-margin - value >= wide * error)
    else:
        supports, refutes = value - margin >= wide * error, margin - value >= wide * error
    decides = supports | refutes
    stopped = np.asarray(decides.any(axis=1))
    first = np.where(stopped, decides.argmax(axis=1), len(levels.looks) - 1)
    ended = stopped[:, None] & (first[:, None] <= np.arange(len(levels.looks)))
    won = np.take_along_axis(supports, first[:, None], axis=1)
    return Outlook((ended & won).mean(axis=0), (ended & ~won).mean(axis=0), float(drawn.looks[first].mean()))
