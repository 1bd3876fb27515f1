"""How seeds stand to each other: independent draws, or sources of randomness crossed with one another.

A study's seed k sets head initialisation, data order and subset at once, and two seeds share nothing. Crossed seeds set
each source apart: runs that share a level of one are alike, so that 18 runs of 3 × 3 × 2 levels are not 18 draws. The
variance of their mean comes from the main effects. Each one's mean square, over the number of runs, holds the source's
own variance over its levels; their sum holds interactions and the rest more than once, and so errs on the safe side.
Its degrees of freedom are Satterthwaite's (1946), of the sources' mean squares.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.statistics.shares import components

Array = NDArray[np.float64]

CROSSED = 1_000_000
"""A seed's code from here on holds init · 10⁶ + order · 10³ + subset; below it stands for all three at once."""

SOURCES = ("head initialisation", "data order", "subset")

LEAST_LEVELS = 3
"""Levels of a varied source below which no verdict is given: from two, its mean square has one degree of freedom, and
where the source makes up most of the noise a test at 5 % errs in 9 % of studies."""

INCOMPLETE = "crossed seeds are incomplete: {there} of {planned} combinations are there"


def level_of(seed: int) -> tuple[int, int, int]:
    """The level of each of SOURCES that a seed's code stands for."""
    return (seed, seed, seed) if seed < CROSSED else (seed // CROSSED, seed // 1000 % 1000, seed % 1000)


@dataclass(frozen=True, eq=False)
class Design:
    """Seeds [S] by the sources that vary among them. levels [S, K]: each seed's level of each, numbered from 0.

    names: of the K sources; one, "seed", where seeds are independent. fixed: the sources that have one level, of
    crossed seeds. why: why no variance of a mean can be had; empty where it can.
    """

    names: tuple[str, ...]
    levels: NDArray[np.int64]
    fixed: tuple[str, ...] = ()
    why: str = ""

    @property
    def crossed(self) -> bool:
        """Whether sources vary apart from each other, or one of them alone."""
        return self.names != ("seed",)

    @cached_property
    def counts(self) -> tuple[int, ...]:
        """Levels of each source."""
        return tuple(int(column.max()) + 1 if column.size else 0 for column in self.levels.T)

    @property
    def few(self) -> str:
        """The sources with too few levels for a verdict, in words; empty where there are none."""
        short = [f"{n} of {name}" for name, n in zip(self.names, self.counts, strict=True) if n < LEAST_LEVELS]
        return ", ".join(short) if self.crossed else ""

    @property
    def words(self) -> str:
        """The crossing, e.g. "3 head initialisation × 3 data order"."""
        return " × ".join(f"{n} {name}" for name, n in zip(self.names, self.counts, strict=True))

    def draws(self, rng: np.random.Generator, size: int) -> Array:
        """How often each seed is drawn [size, S] where the levels of each source are drawn anew, S draws in all."""
        made = np.ones((size, len(self.levels)))
        for number, column in zip(self.counts, self.levels.T, strict=True):
            made *= rng.multinomial(number, np.full(number, 1 / number), size=size)[:, column]
        return made


def design(seeds: NDArray[np.int64]) -> Design:
    """The design of distinct seed codes [S]."""
    if not seeds.size or seeds.max() < CROSSED:
        return independent(seeds.size)
    table = np.array([level_of(int(seed)) for seed in seeds])
    levels = np.stack([np.unique(column, return_inverse=True)[1] for column in table.T], axis=1)
    varied = [i for i in range(len(SOURCES)) if levels[:, i].max() > 0]
    fixed = tuple(SOURCES[i] for i in range(len(SOURCES)) if i not in varied)
    if not varied:
        return Design(("seed",), np.zeros((1, 1), np.int64), fixed)
    made = Design(tuple(SOURCES[i] for i in varied), levels[:, varied], fixed)
    planned = int(np.prod(made.counts))
    if planned == seeds.size:
        return made
    return Design(made.names, made.levels, fixed, INCOMPLETE.format(there=seeds.size, planned=planned))


def independent(number: int) -> Design:
    """`number` seeds that share nothing."""
    return Design(("seed",), np.arange(number)[:, None])


def mean_variance(values: Array, of: Design) -> tuple[Array, Array]:
    """Variance of the mean of `values` [S, …] over seeds, and its degrees of freedom, each […].

    NaN where there is one seed, or the crossing is incomplete.
    """
    total = len(values)
    shape = values.shape[1:]
    if total < 2 or of.why:
        return np.full(shape, np.nan), np.full(shape, np.nan)
    mean = values.mean(axis=0)
    whole, squares = np.zeros(shape), np.zeros(shape)
    for number, column in zip(of.counts, of.levels.T, strict=True):
        sums = np.zeros((number, *shape))
        np.add.at(sums, column, values)
        square = ((sums / (total / number) - mean) ** 2).sum(axis=0) / (number * (number - 1))
        whole, squares = whole + square, squares + square**2 / (number - 1)
    # main effects that cancel out say nothing of the noise: then as if the runs were independent, at the fewest df
    fewest, plain = float(min(of.counts) - 1), values.var(axis=0, ddof=1) / total
    cancelled = whole <= 1e-9 * plain
    df = np.divide(whole**2, squares, out=np.full(shape, fewest), where=squares > 0)
    return np.where(cancelled, plain, whole), np.where(cancelled, fewest, df)


def single_variance(values: Array, of: Design) -> float:
    """Variance of one run whose sources are all drawn anew, from `values` [S]: what independent seeds would scatter by.

    The sum of the crossing's variance components, those estimated below 0 as 0.
    """
    if len(of.names) == 1:
        return float(values.var(ddof=1))
    order = np.lexsort(of.levels.T[::-1])
    return sum(max(0.0, one) for one in components(values[order].reshape(of.counts)).values())
