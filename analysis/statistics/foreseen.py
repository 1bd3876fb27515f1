"""What the looks at a growing study will see, under a difference and a spread that are taken for true: simulated paths.

Of normal pairs whose runs do not collapse. A path's tests are those of the claims: t against the bound, the p-value of
the looks so far, the hold of a rate of collapse that runs do not exclude, and the power that is left.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.group_sequential import Levels, paths
from finebench.analysis.statistics.interim import Means, conditional_powers
from finebench.analysis.statistics.proportion import upper_bound

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Holds = Literal["above", "below", "within"]

ALPHA = 0.05

LEVEL = 0.80
"""Of the intervals of what a pilot knows, as of those of the seeds that would settle a claim."""

Side = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Truth:
    """What is taken for true of one task's pairs: `effect` and `sd` [path] of a pair's difference.

    examples: the variance that the scored examples add to the mean's error, of `n_examples`. first, second: of either
    side's methods the rate of collapse, and what a collapse in every run would take from the mean.
    """

    effect: Array
    sd: Array
    examples: float = 0.0
    n_examples: int = 0
    first: Side = ()
    second: Side = ()

    def slack(self, pairs: int) -> tuple[float, float]:
        """What collapses that so many runs do not exclude could take from the mean, and add to it."""
        down, up = (
            sum((upper_bound(rate * pairs, pairs) - rate) * cost for rate, cost in side if cost > 0)
            for side in (self.first, self.second)
        )
        return down, up


@dataclass(frozen=True)
class Expected:
    """The pairs of a claim on a task (or pooled): mean `effect` and standard deviation `sd` of their difference, held
    against `bound`.

    examples: the variance that `n_examples` scored examples add. error, df: the standard error of `effect` and the
    degrees of freedom of `sd`, of a pilot; 0 and inf where they are stated. first, second: see Truth.
    """

    task: str
    effect: float
    sd: float
    bound: float
    examples: float = 0.0
    n_examples: int = 0
    error: float = 0.0
    df: float = math.inf
    first: Side = ()
    second: Side = ()

    def truth(self, paths: int) -> Truth:
        """As it is expected, in so many studies."""
        return self._of(np.full(paths, self.effect), np.full(paths, self.sd))

    def truths(self, rng: np.random.Generator, number: int, paths: int) -> Truth:
        """`number` values that a pilot does not exclude, each in so many studies: σ² as s² df / χ²_df, the mean about
        the pilot's by that σ (the posterior of a normal sample under Jeffreys' independence prior)."""
        ratio = np.sqrt(self.df / rng.chisquare(self.df, number)) if math.isfinite(self.df) else np.ones(number)
        effect = self.effect + rng.standard_normal(number) * self.error * ratio
        return self._of(np.repeat(effect, paths), np.repeat(self.sd * ratio, paths))

    def _of(self, effect: Array, sd: Array) -> Truth:
        return Truth(effect, sd, self.examples, self.n_examples, self.first, self.second)

    def told(self) -> dict[str, Any]:
        """JSON-ready, with the interval of what a pilot knows; of what is stated its ends are null."""
        row: dict[str, Any] = {"task": self.task, "effect": self.effect, "sd": self.sd}
        if not math.isfinite(self.df):
            return row | dict.fromkeys(("effect_low", "effect_high", "sd_low", "sd_high"))
        half = float(stats.t.isf((1 - LEVEL) / 2, self.df)) * self.error
        low, high = (self.sd * math.sqrt(self.df / float(stats.chi2.isf(tail, self.df)))
                     for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2))  # fmt: skip
        row |= {"effect_low": self.effect - half, "effect_high": self.effect + half}
        return row | {"sd_low": low, "sd_high": high}


class Seen(NamedTuple):
    """What each look [path, look] sees so far: p for the claim and against it, whether a look has decided so, and what
    power is left for either (NaN at the last look)."""

    p: Array
    against: Array
    supports: Flags
    refutes: Flags
    reach: Array
    reach_against: Array


def foreseen(levels: Levels, truth: Truth, bound: float, holds: Holds, seed: int) -> Seen:
    """The looks of as many studies as `truth` has paths.

    holds: whether the claim is of a mean above `bound`, below it, or within ±bound.
    """
    drawn = paths(levels.looks, truth.effect.size, seed)
    value = truth.effect[:, None] + truth.sd[:, None] * drawn.mean
    per_pair = (truth.sd[:, None] * drawn.sd) ** 2
    number, looks = truth.effect.size, len(levels.looks)
    p, against = np.ones((number, looks)), np.ones((number, looks))
    reach, reach_against = np.full((number, looks), np.nan), np.full((number, looks), np.nan)
    for look, pairs in enumerate(levels.looks):
        mean = Means(value[:, look], per_pair[:, look], truth.examples, pairs)
        p[:, look], against[:, look] = _tests(levels, look, mean, truth.n_examples, bound, holds)
        if look < looks - 1:
            held = ~_stays(mean.value, p[:, look] <= ALPHA, truth.slack(pairs), bound, holds)
            held &= (p[:, look] <= ALPHA) | (against[:, look] <= ALPHA)
            p[held, look] = against[held, look] = 1.0
            reach[:, look], reach_against[:, look] = _reach(levels, mean, bound, holds)
    supports, refutes = p <= ALPHA, against <= ALPHA
    first = np.where((supports | refutes).any(axis=1), (supports | refutes).argmax(axis=1), looks)
    decided = first[:, None] <= np.arange(looks)
    side = np.take_along_axis(supports, np.minimum(first, looks - 1)[:, None], axis=1)
    p, against = np.minimum.accumulate(p, axis=1), np.minimum.accumulate(against, axis=1)
    return Seen(p, against, decided & side, decided & ~side, reach, reach_against)


def _tests(levels: Levels, look: int, mean: Means, n_examples: int, bound: float, holds: Holds) -> tuple[Array, Array]:
    """p of the claim's being false, and of its being true, by this look alone."""
    of_seeds = mean.per_pair / mean.pairs
    error = np.sqrt(of_seeds + mean.examples)
    df = error**2 / (of_seeds / (mean.pairs - 1) + mean.examples / max(1, n_examples - 1))  # crossed.degrees

    def two_sided(distance: Array) -> Array:
        made: Array = np.minimum(1.0, 2 * np.asarray(stats.t.sf(distance / error, df)))
        return made

    if holds == "within":
        inside = two_sided(np.minimum(mean.value + bound, bound - mean.value))
        outside = two_sided(np.maximum(mean.value - bound, -bound - mean.value))
        return levels.ps(look, inside) / 2, levels.ps(look, outside)
    beyond = mean.value - bound if holds == "above" else bound - mean.value
    return levels.ps(look, two_sided(beyond)), levels.ps(look, two_sided(-beyond))


def _stays(value: Array, supports: Flags, slack: tuple[float, float], bound: float, holds: Holds) -> Flags:
    """Whether what was seen stays so at the rates of collapse that runs do not exclude (`claims.waves.stays`)."""
    low, high = value - slack[0], value + slack[1]
    inside, outside = (-bound < low) & (high < bound), (low > bound) | (high < -bound)
    above = supports == (holds == "above")
    one_sided = (above & (low > bound)) | (~above & (high < bound))
    made: Flags = (supports & inside) | (~supports & outside) if holds == "within" else one_sided
    return made


def _reach(levels: Levels, mean: Means, bound: float, holds: Holds) -> tuple[Array, Array]:
    if holds == "within":
        inside = conditional_powers(mean, levels, -bound, bound, 0.10, inside=True)
        return inside, conditional_powers(mean, levels, -bound, bound, 0.05)
    above = conditional_powers(mean, levels, -np.inf, bound, 0.05)
    below = conditional_powers(mean, levels, bound, np.inf, 0.05)
    return (above, below) if holds == "above" else (below, above)
