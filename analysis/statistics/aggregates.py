"""Methods over several tasks (Agarwal et al., 2021): IQM, probability of improvement, performance profiles.

Scores are [S, T], runs by tasks, on a common scale. Intervals resample runs within each task, apart from each other
(the paper's stratified bootstrap), so that they speak of these tasks and no others.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.statistics.estimate import Estimate

Array = NDArray[np.float64]

RESAMPLES = 2000


def iqm_all(scores: Array) -> Array:
    """Mean of the middle half of all runs of all tasks: `scores` [..., S, T] -> [...]."""
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = int(0.25 * flat.shape[-1])
    made: Array = flat[..., cut : flat.shape[-1] - cut].mean(axis=-1)
    return made


def improvement(a: Array, b: Array, rng: np.random.Generator, count: int = RESAMPLES) -> tuple[float, Array]:
    """Probability that a run of `a` [S, T] beats one of `b` [S', T] on a task drawn at random, and resamples [count].

    Mann and Whitney's U over S · S', averaged over tasks; ties count half. Resampling needs no copies: the
    wins of every pair of runs are weighted by how often both were drawn.
    """
    wins = (np.sign(a[:, None, :] - b[None, :, :]) + 1) / 2
    draws = np.zeros(count)
    for task in range(a.shape[1]):
        drawn = [rng.multinomial(len(x), np.full(len(x), 1 / len(x)), count) / len(x) for x in (a, b)]
        draws += ((drawn[0] @ wins[:, :, task]) * drawn[1]).sum(axis=1)
    return float(wins.mean()), draws / a.shape[1]


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


def expand(draws: Array, mean: Array) -> Array:
    """Move resamples [R, S, T] farther from the task means [T], by `widening`."""
    _, runs, tasks = draws.shape
    moved = draws.mean(axis=1, keepdims=True) - mean
    made: Array = draws + moved * (widening(runs, tasks * (runs - 1)) - 1)
    return made


def expand_share(draws: Array, value: float, runs: int, tasks: int) -> Array:
    """Move resamples [R] of a share of two methods' runs farther from its `value`, and not beyond 0 and 1."""
    made: Array = np.clip(value + (draws - value) * widening(runs, 2 * tasks * (runs - 1)), 0.0, 1.0)
    return made


def widening(runs: int, df: int, level: float = 0.95) -> float:
    """By what factor a percentile interval of resamples of `runs` runs is too narrow: √(S/(S − 1)) · t / z.

    A resample of S runs scatters (S − 1)/S as much as S runs do, and their spread is itself estimated. The paper's
    bootstrap leaves both, and covers 83 % at 5 runs of one task.
    """
    tail = (1 + level) / 2
    return float(np.sqrt(runs / (runs - 1)) * stats.t.ppf(tail, df) / stats.norm.ppf(tail))
