"""A mean over seeds scored on examples, both drawn at random: its variance components and its interval.

Seeds and examples are crossed: every seed is scored on the same examples. With σ² of the seeds, of the examples and of
their interaction, the mean over S seeds has variance (σ²_seed + σ²_interaction) / S + σ²_example. The variance
of the seeds' scores, s², estimates σ²_seed + σ²_interaction; a bootstrap of examples gives the other two: the
spread between seeds of their moves, and the variance of the moves of the mean less that spread / S.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.estimate import Estimate
from analysis.statistics.mean import mean_t

Array = NDArray[np.float64]

BOOTSTRAP_FROM = 20
"""Seeds from which the bootstrap's shape is used; with fewer, its percentiles are too narrow (83 % at 5 seeds)."""


class Components(NamedTuple):
    """Of a mean over `seeds` seeds: variance per seed (interaction in it), of the interaction alone, of examples."""

    per_seed: float
    interaction: float
    examples: float
    seeds: int
    n_examples: int

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.per_seed / self.seeds + self.examples

    @property
    def df(self) -> float:
        """Satterthwaite's (1946) degrees of freedom of that variance."""
        parts = (self.per_seed / self.seeds) ** 2 / (self.seeds - 1) + self.examples**2 / (self.n_examples - 1)
        return self.variance**2 / parts if parts > 0 else float(self.seeds - 1)


def components(scores: Array, replicates: Array, n_examples: int) -> Components:
    """Components of the mean of `scores` [S] from their `replicates` [R, S] on resampled examples; S and N >= 2.

    ANOVA estimators of a crossed design, from bootstrap moments (factor N/(N − 1) for the bootstrap's own bias). What
    is negative by chance counts as 0: s² is at least the interaction, and examples at least 0.
    """
    seeds = scores.size
    moves = (replicates - scores) * math.sqrt(n_examples / (n_examples - 1))
    moves = moves - moves.mean(axis=0)
    interaction = float(moves.var(axis=1, ddof=1).mean())
    mean_moves = float(moves.mean(axis=1).var(ddof=1))
    examples = max(0.0, mean_moves - interaction / seeds)
    per_seed = max(float(scores.var(ddof=1)), interaction)
    return Components(per_seed, interaction, examples, seeds, n_examples)


def crossed_mean(
    scores: Array,
    replicates: Array | None,
    n_examples: int,
    rng: np.random.Generator,
    level: float = 0.95,
    why: str = "no predictions",
) -> Estimate:
    """Mean of `scores` [S] with an interval over seeds and examples; Student's t over seeds where there are none.

    Below BOOTSTRAP_FROM seeds: mean ± t · √variance at Satterthwaite's degrees of freedom. From there on the
    multi-bootstrap (Sellam et al., 2022): each replicate draws seeds and examples. Ours differs in one thing: drawing
    both counts the interaction three times (Owen, 2007) and the seeds' spread (S − 1)/S times, so the replicates are
    scaled about the mean until their variance is that of the components, and by t over z.
    """
    if replicates is None or n_examples < 2 or scores.size < 2:
        made = mean_t(scores, level)
        return made._replace(method=f"{made.method}; over seeds only: {why}") if made.has_interval else made
    found = components(scores, replicates, n_examples)
    mean, seeds = float(scores.mean()), scores.size
    if not found.variance > 0:
        return Estimate(mean, math.nan, math.nan, seeds, f"all {seeds} seeds scored the same: no interval")
    half = float(stats.t.ppf((1 + level) / 2, found.df)) * math.sqrt(found.variance)
    about = f"{level:.0%}, {seeds} seeds × {n_examples:,} examples"
    if seeds < BOOTSTRAP_FROM:
        return Estimate(mean, mean - half, mean + half, seeds, f"variance components, t({found.df:.3g}), {about}")
    draws = two_way(replicates, rng)
    low, high = percentiles(draws, mean, half, level)
    return Estimate(mean, low, high, seeds, f"multi-bootstrap, {about}")


def two_way(replicates: Array, rng: np.random.Generator) -> Array:
    """Means [R] over seeds drawn with replacement, one draw per replicate of examples."""
    count, seeds = replicates.shape
    drawn = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=count)
    made: Array = np.einsum("rs,rs->r", replicates, drawn.astype(np.float64)) / seeds
    return made


def percentiles(draws: Array, mean: float, half: float, level: float) -> tuple[float, float]:
    """Percentile interval of draws scaled about `mean` so that a normal one would be mean ± half."""
    z = float(stats.norm.ppf((1 + level) / 2))
    scaled = mean + (draws - draws.mean()) * (half / z / float(draws.std(ddof=1)))
    low, high = np.quantile(scaled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(scores: Array, replicates: Array | None, n_examples: int) -> float:
    """Two-sided p of a mean of 0, by the same variance and degrees of freedom; NaN where there is no variance."""
    if scores.size < 2:
        return math.nan
    if replicates is None or n_examples < 2:
        variance, df = float(scores.var(ddof=1)) / scores.size, float(scores.size - 1)
    else:
        found = components(scores, replicates, n_examples)
        variance, df = found.variance, found.df
    if not variance > 0:
        return math.nan
    return float(2 * stats.t.sf(abs(float(scores.mean())) / math.sqrt(variance), df))
