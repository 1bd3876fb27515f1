"""A mean over seeds scored on examples, both drawn at random: its variance components and its interval.

Seeds and examples are crossed: every seed is scored on the same examples. With σ² of the seeds, of the examples and of
their interaction, the mean over S seeds has variance (σ²_seed + σ²_interaction) / S + σ²_example. The variance
of the seeds' scores, s², estimates σ²_seed + σ²_interaction; a bootstrap of examples gives the other two: the
spread between seeds of their moves, and the variance of the moves of the mean less that spread / S, which is the mean
covariance of two seeds' moves.

Readers of medical images are compared by the same design (readers for seeds, cases for examples), with as few readers:
s² / S + max(0, covariance) is the error of Obuchowski and Rockette (1995) as Hillis (2007) has it. Like theirs, s²
stands as it is where it is below the interaction: raised to it, intervals of three seeds cover 98 to 100 % where the
interaction makes up most of it.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.estimate import Estimate
from analysis.statistics.mean import mean_t
from analysis.statistics.resample import REPLICATES
from analysis.statistics.reselect import Choice, reselected

Array = NDArray[np.float64]

BOOTSTRAP_FROM = 20
"""Seeds from which the bootstrap's shape is used; with fewer, its percentiles are too narrow (83 % at 5 seeds)."""

_SEED = 20210303


class Components(NamedTuple):
    """Of a mean over `seeds` seeds: variance per seed (interaction in it), of the interaction alone, of examples.

    choice is what repeating the choice of configuration adds, where it rests on the same seeds; same, how often the
    repeated choice was the one that was made.
    """

    per_seed: float
    interaction: float
    examples: float
    seeds: int
    n_examples: int
    choice: float = 0.0
    same: float = 1.0

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.per_seed / self.seeds + self.examples + self.choice

    @property
    def df(self) -> float:
        """Degrees of freedom of that variance: those of its parts, averaged harmonically by their shares of it."""
        return degrees(self.of_seeds / self.seeds, self.seeds, self.examples, self.n_examples)

    @property
    def of_seeds(self) -> float:
        """What falls as seeds are added, per seed: their variance, and the choice's as if it fell like theirs."""
        return self.per_seed + self.seeds * self.choice


def degrees(of_seeds: float, seeds: int, of_examples: float, n_examples: int) -> float:
    """Degrees of freedom of a variance that is a sum of a part over `seeds` and a part over `n_examples`.

    1/df is the mean of the parts' 1/df, weighted by their shares. To first order in 1/df that weighs the parts' t
    quantiles by their shares, which is Cochran's (1964) answer to the problem of Behrens and Fisher. Satterthwaite's
    (1946) df, with squared shares, grows too fast where a share is itself estimated from two or four degrees of
    freedom: at three seeds the 95 % interval then covers 92 % where seeds make up 9/10 of the variance, and with ours
    94 to 96 % at any share.
    """
    whole = of_seeds + of_examples
    if not whole > 0:
        return float(seeds - 1)
    inverse = of_seeds / (seeds - 1) + of_examples / max(1, n_examples - 1)
    return whole / inverse


def components(
    scores: Array,
    replicates: Array | None,
    n_examples: int,
    choice: Choice | None = None,
    against: Choice | None = None,
) -> Components:
    """Components of the mean of `scores` [S] from their `replicates` [R, S] on resampled examples; S >= 2.

    `choice` (of a difference: less the choice `against`) is repeated on draws of seeds that are the same for every S.

    ANOVA estimators of a crossed design, from bootstrap moments (factor N/(N − 1) for the bootstrap's own bias). An
    examples' part that is negative by chance counts as 0. Without replicates the seeds are all there is.
    """
    found = _components(scores, replicates, n_examples)
    if choice is None:
        return found
    again = reselected(choice, _drawn(scores.size, np.random.default_rng([_SEED, scores.size])), against)
    return found._replace(choice=again.variance, same=again.same)


def _components(scores: Array, replicates: Array | None, n_examples: int) -> Components:
    seeds, spread = scores.size, float(scores.var(ddof=1)) if np.ptp(scores) > 0 else 0.0
    if replicates is None or n_examples < 2:
        return Components(spread, 0.0, 0.0, seeds, 0)
    moves = (replicates - replicates.mean(axis=0)) * math.sqrt(n_examples / (n_examples - 1))
    interaction = float(moves.var(axis=1, ddof=1).mean())
    mean_moves = float(moves.mean(axis=1).var(ddof=1))
    examples = max(0.0, mean_moves - interaction / seeds)
    return Components(spread, interaction, examples, seeds, n_examples)


def crossed_mean(
    scores: Array,
    replicates: Array | None,
    n_examples: int,
    rng: np.random.Generator,
    level: float = 0.95,
    why: str = "no predictions",
    choice: Choice | None = None,
    against: Choice | None = None,
) -> Estimate:
    """Mean of `scores` [S] with an interval over seeds and examples; without replicates over seeds, saying `why`.

    Below BOOTSTRAP_FROM seeds: mean ± t · √variance at the components' degrees of freedom. From there on the
    multi-bootstrap (Sellam et al., 2022): each replicate draws seeds and examples. Ours differs in one thing: drawing
    both counts the interaction three times (Owen, 2007) and the seeds' spread (S − 1)/S times, so the replicates are
    scaled about the mean until their variance is that of the components, and by t over z. With a `choice`, made on the
    same seeds, each replicate repeats it; of a difference, both (`against`). A state that few seeds cannot show (one
    run in seven collapses, and none of these three did) is in no interval made from them.
    """
    if scores.size < 2 or (choice is None and np.ptp(scores) == 0 and (replicates is None or not replicates.var())):
        return mean_t(scores, level)
    found = components(scores, replicates, n_examples, choice, against)
    mean, seeds = float(scores.mean()), scores.size
    if not found.variance > 0:
        return mean_t(scores, level)
    half = float(stats.t.ppf((1 + level) / 2, found.df)) * math.sqrt(found.variance)
    low, high, how = mean - half, mean + half, f"variance components, t({found.df:.3g})"
    if found.n_examples and seeds >= BOOTSTRAP_FROM and replicates is not None:
        drawn = _drawn(seeds, rng)
        moves = 0.0 if choice is None else reselected(choice, drawn, against).moves
        draws = np.einsum("rs,rs->r", replicates, drawn) / seeds + moves
        low, high = percentiles(draws, mean, half, level)
        how = "multi-bootstrap"
    return Estimate(mean, low, high, seeds, _method(how, level, found, why, choice is not None))


def _method(how: str, level: float, found: Components, why: str, chosen: bool) -> str:
    """The interval in words."""
    if found.n_examples:
        said = f"{how}, {level:.0%}, {found.seeds} seeds × {found.n_examples:,} examples"
    else:
        said = f"Student t, {level:.0%}, {found.seeds} seeds; not over examples: {why}"
    return f"{said}; choice repeated on resampled select scores, the same in {found.same:.0%}" if chosen else said


def _drawn(seeds: int, rng: np.random.Generator) -> Array:
    """How often each seed is drawn [REPLICATES, S], S draws per replicate."""
    return rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=REPLICATES).astype(np.float64)


def percentiles(draws: Array, mean: float, half: float, level: float) -> tuple[float, float]:
    """Percentile interval of draws scaled about `mean` so that a normal one would be mean ± half."""
    z = float(stats.norm.ppf((1 + level) / 2))
    scaled = mean + (draws - draws.mean()) * (half / z / float(draws.std(ddof=1)))
    low, high = np.quantile(scaled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def p_value(
    scores: Array,
    replicates: Array | None,
    n_examples: int,
    choice: Choice | None = None,
    against: Choice | None = None,
) -> float:
    """Two-sided p of a mean of 0, by the same variance and degrees of freedom; NaN where there is no variance."""
    if scores.size < 2:
        return math.nan
    found = components(scores, replicates, n_examples, choice, against)
    if not found.variance > 0:
        return math.nan
    return float(2 * stats.t.sf(abs(float(scores.mean())) / math.sqrt(found.variance), found.df))
