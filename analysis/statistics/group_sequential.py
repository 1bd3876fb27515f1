"""Looking at a mean several times as its observations come in, with the error rate of looking once.

A study is looked at after n_1 < … < n_K pairs, and stopped at the first look that decides. At look k a two-sided t test
at the nominal level a_k(α) decides; the levels are such that true hypotheses are rejected at any look up to k with
probability α · (n_k / n_K)^ρ: Kim's and DeMets' (1987) error spending. The intervals at level 1 − a_k(α), all looks
together, hold the true value with probability 1 − α, whatever the rule by which the study stops: repeated confidence
intervals (Jennison and Turnbull, 1989). The least α at which some look so far rejects is a p-value at every time: a
sequential p-value (Liu and Anderson, 2008).

Of normal pairs under the hypothesis, t_1, …, t_K depend on neither mean nor variance (Jennison and Turnbull, 1991), so
that the levels come from one simulation of standard normals, to its noise. Where the examples that all pairs share add
to the error of the mean, looks agree more than the pairs alone would, and the levels are conservative.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

RHO = 1.5
"""Between even spending (1: Pocock's boundary, nearly) and late spending; a first look at six pairs keeps some α."""

PATHS = 2_000_000
"""Simulated studies: the standard error of a level is below 0.5 % of it at α = 0.05, about 10 % at 10⁻⁴."""

LEAST_ALPHA = 1e-4
"""Sequential p-values are told no smaller."""

_ALPHAS = np.union1d(np.geomspace(LEAST_ALPHA, 1.0, 25), [0.05, 0.10])
_SEED = 19840305
_CHUNK = 250_000


@dataclass(frozen=True)
class Levels:
    """The nominal levels of a schedule of `looks`, each a number of pairs: increasing, at least two in the first.

    `known`: its `nominal_levels`, where they have been simulated before. Raises ValueError for other looks.
    """

    looks: tuple[int, ...]
    known: Array | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not self.looks or self.looks[0] < 2 or any(b <= a for a, b in pairwise(self.looks)):
            raise ValueError(f"looks are increasing numbers of pairs, two at least, not {list(self.looks)}")

    @cached_property
    def _table(self) -> Array:
        """Nominal levels [look, α], rising with α."""
        return nominal_levels(self.looks) if self.known is None else self.known

    def at(self, look: int, alpha: float) -> float:
        """The nominal two-sided level of a look, counted from 0, that spends a total of `alpha`."""
        return float(np.exp(np.interp(np.log(alpha), np.log(_ALPHAS), np.log(self._table[look]))))

    def critical(self, look: int, alpha: float) -> float:
        """|t| at which that look rejects, at n − 1 degrees of freedom."""
        return float(stats.t.isf(self.at(look, alpha) / 2, self.looks[look] - 1))

    def p(self, look: int, nominal: float) -> float:
        """The α at which a look rejects what has the two-sided p-value `nominal` at that look alone; NaN of NaN.

        The sequential p-value is the least of the looks so far.
        """
        return float(self.ps(look, np.array(nominal)))

    def ps(self, look: int, nominal: Array) -> Array:
        """The same of many."""
        table = self._table[look]
        made: Array = np.exp(np.interp(np.log(np.maximum(nominal, table[0])), np.log(table), np.log(_ALPHAS)))
        return made


def spent(share: float | Array, alpha: float, rho: float = RHO) -> float | Array:
    """The error that may be spent until a `share` of the most pairs is there (Kim and DeMets, 1987)."""
    return alpha * share**rho


@lru_cache(maxsize=8)
def nominal_levels(looks: tuple[int, ...], rho: float = RHO, number: int = PATHS) -> Array:
    """Nominal two-sided levels [look, α] of all α of the table, from `number` simulated studies: seconds of work."""
    drawn = np.abs(paths(looks, number).t()).astype(np.float32)
    shares = np.array(looks) / looks[-1]
    made = np.empty((len(looks), len(_ALPHAS)))
    for column, alpha in enumerate(_ALPHAS):
        made[:, column] = _levels(drawn, np.asarray(spent(shares, float(alpha), rho)), looks)
    return np.maximum.accumulate(made, axis=1)


class Paths(NamedTuple):
    """Simulated studies of standard normal pairs: mean and standard deviation [path, look] of the pairs so far."""

    mean: NDArray[np.float32]
    sd: NDArray[np.float32]
    looks: Array

    def t(self, shift: float = 0.0) -> Array:
        """Student's t [path, look] of pairs whose mean is `shift` standard deviations above what it is held against."""
        made: Array = (self.mean + shift) / (self.sd / np.sqrt(self.looks))
        return made


def paths(looks: tuple[int, ...], number: int, seed: int = _SEED) -> Paths:
    """`number` seeded studies, drawn by what each wave brings: its mean, and its squares about that."""
    means, sds = (np.empty((number, len(looks)), dtype=np.float32) for _ in "ms")
    rng = np.random.Generator(np.random.Philox(seed))
    for start in range(0, number, _CHUNK):
        n = min(_CHUNK, number - start)
        mean, squares, before = np.zeros(n), np.zeros(n), 0
        for k, pairs in enumerate(looks):
            wave = pairs - before
            new = rng.standard_normal(n) / np.sqrt(wave)
            squares += (new - mean) ** 2 * (before * wave / pairs)
            squares += rng.chisquare(wave - 1, n) if wave > 1 else 0.0
            mean += (new - mean) * (wave / pairs)
            means[start : start + n, k], sds[start : start + n, k] = mean, np.sqrt(squares / (pairs - 1))
            before = pairs
    return Paths(means, sds, np.array(looks, dtype=np.float64))


def _levels(drawn: NDArray[np.float32], spends: Array, looks: tuple[int, ...]) -> Array:
    """Nominal levels [look] at which so many paths as are spent have been rejected."""
    alive = np.ones(len(drawn), dtype=bool)
    made = np.empty(len(looks))
    gone = 0
    for k, pairs in enumerate(looks):
        wanted = round(float(spends[k]) * len(drawn)) - gone
        here = drawn[alive, k]
        if k == 0:  # in closed form
            made[k] = spends[k]
            bound = float(stats.t.isf(spends[k] / 2, pairs - 1))
        elif wanted <= 0:
            made[k], bound = 0.0, np.inf
        elif wanted >= here.size:
            made[k], bound = 1.0, 0.0
        else:
            bound = float(np.partition(here, here.size - wanted)[here.size - wanted])
            made[k] = 2 * float(stats.t.sf(bound, pairs - 1))
        out = drawn[:, k] >= bound
        alive &= ~out
        gone = len(drawn) - int(alive.sum())
    return np.maximum(made, np.finfo(float).tiny)


class Look:
    """What the tests of one look ask: the levels of its intervals, and what its p-values are worth.

    The only look of a study of a fixed size takes them as they are.
    """

    def level(self, alpha: float) -> float:
        """The level of the interval whose error is to be `alpha`."""
        return 1 - alpha

    def p(self, nominal: float) -> float:
        """The p-value of what has the two-sided p-value `nominal` by itself."""
        return nominal

    def one_sided(self, nominal: float) -> float:
        """The same of a one-sided p-value."""
        return self.p(min(1.0, 2 * nominal)) / 2


@dataclass(frozen=True)
class Interim(Look):
    """One of several looks, counted from 0."""

    levels: Levels
    number: int

    @property
    def last(self) -> bool:
        """Whether no look follows."""
        return self.number == len(self.levels.looks) - 1

    def level(self, alpha: float) -> float:
        """See Look."""
        return 1 - self.levels.at(self.number, alpha)

    def p(self, nominal: float) -> float:
        """See Look."""
        return self.levels.p(self.number, nominal)


ONLY = Look()
