"""Methods over several tasks (Agarwal et al., 2021): the interquartile mean and performance profiles.

Scores are [S, T], runs by tasks, on a common scale. Intervals resample runs within each task, apart from each other
(the paper's stratified bootstrap), so that they speak of these tasks and no others.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.estimate import Estimate

Array = NDArray[np.float64]

RESAMPLES = 2000


def iqm_all(scores: Array) -> Array:
    """Mean of the middle half of all runs of all tasks: `scores` [..., S, T] -> [...]."""
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = int(0.25 * flat.shape[-1])
    made: Array = flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    return made


def profile(scores: Array, levels: Array) -> Array:
    """Share of runs [L] that score above each of `levels` [L], over all tasks (the run-score distribution)."""
    made: Array = (scores[..., None] > levels).mean(axis=(0, 1))
    return made


def within_tasks(scores: Array, rng: np.random.Generator, count: int = RESAMPLES) -> Array:
    """Resamples [count, S, T]: runs drawn with replacement within each task."""
    runs, tasks = scores.shape
    drawn = rng.integers(0, runs, (count, runs, tasks))
    made: Array = scores[drawn, np.arange(tasks)]
    return made


def interval(value: float, draws: Array, n: int, what: str, level: float = 0.95) -> Estimate:
    """`value` with the percentile interval of `draws` [R]."""
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(value, float(low), float(high), n, f"{what}, percentile bootstrap within tasks, {level:.0%}")


def expand(draws: Array, scores: Array) -> Array:
    """Move resamples [R, S, T] of `scores` [S, T] farther from the task means, by `widening`."""
    moved = draws.mean(axis=1, keepdims=True) - scores.mean(axis=0)
    made: Array = draws + moved * (widening(len(scores), iqm_df(scores)) - 1)
    return made


def iqm_df(scores: Array) -> float:
    """Degrees of freedom of the IQM of `scores` [S, T], by Satterthwaite: each task's S - 1, its part in the noise
    being its variance times the square of its share of the middle half. Few tasks may make up all of it: those in the
    middle where tasks lie far apart, and those whose runs vary most.
    """
    runs, tasks = scores.shape
    cut = int(0.25 * scores.size)
    middle = np.argsort(scores, axis=None, kind="stable")[cut : scores.size - cut] % tasks
    share = np.bincount(middle, minlength=tasks) / middle.size
    part = share**2 * scores.var(axis=0, ddof=1)
    return float((runs - 1) * part.sum() ** 2 / (part**2).sum()) if part.any() else float(tasks * (runs - 1))


def widening(runs: int, df: float, level: float = 0.95) -> float:
    """By what factor a percentile interval of resamples of `runs` runs is too narrow: √(S/(S − 1)) · t / z.

    A resample of S runs scatters (S − 1)/S as much as S runs do, and their spread is itself estimated. The paper's
    bootstrap leaves both, and covers 83 % at 5 runs of one task.
    """
    tail = (1 + level) / 2
    return float(np.sqrt(runs / (runs - 1)) * stats.t.ppf(tail, df) / stats.norm.ppf(tail))
