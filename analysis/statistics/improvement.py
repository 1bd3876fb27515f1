"""Probability of improvement (Agarwal et al., 2021): how often a run of one method beats one of another, over tasks.

The interval is Newcombe's for Mann and Whitney's U/mn (Statistics in Medicine 25:559, 2006, method 5): all values that
the observed one does not contradict, by the standard error that each of them would have. That holds near 0 and 1, where
resamples of a few runs show next to nothing.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from finebench.analysis.statistics.estimate import Estimate

Array = NDArray[np.float64]

REACH = np.linspace(-12.0, 12.0, 2401)
"""Values looked at, as distances from the observed one on the logit scale."""


def improvement(a: Array, b: Array, level: float = 0.95) -> Estimate:
    """Probability that a run of `a` [S, T] beats one of `b` [S', T] on a task drawn at random; ties count half.

    Mann and Whitney's U over S · S', averaged over tasks. Changes to the source: several tasks, whose odds are taken to
    move together; t quantiles with the runs' degrees of freedom; the standard error is raised where the runs show a
    greater one than Hanley and McNeil's formula, which takes both methods to vary alike (DeLong et al., 1988); and each
    task's share is counted with half a pair more won and lost, so that its odds are finite.
    """
    wins = (np.sign(a[:, None, :] - b[None, :, :]) + 1) / 2
    runs, others, tasks = wins.shape
    value, said = float(wins.mean()), "probability of improvement"
    if min(runs, others) < 2 or math.isnan(value):
        why = "a score is missing" if math.isnan(value) else "one run of a method"
        return Estimate(value, math.nan, math.nan, runs, f"{said}: {why}: no interval")
    observed, pairs = wins.mean(axis=(0, 1)), runs * others
    placed = (observed * pairs + 0.5) / (pairs + 1)
    seen = wins.mean(axis=1).var(axis=0, ddof=1) / runs + wins.mean(axis=0).var(axis=0, ddof=1) / others
    raised = max(1.0, float(seen.sum() / _variance(placed, runs, others).sum()))
    moved: Array = special.expit(special.logit(placed)[:, None] + REACH)
    error = np.sqrt(raised * _variance(moved, runs, others).sum(axis=0)) / tasks
    quantile = stats.t.ppf((1 + level) / 2, tasks * (runs + others - 2))
    over_tasks = moved.mean(axis=0)
    possible = over_tasks[np.abs(value - over_tasks) <= quantile * error]
    low, high = min(value, float(possible.min())), max(value, float(possible.max()))
    return Estimate(value, low, high, runs, f"{said}, Newcombe's score interval with t, {level:.0%}")


def _variance(p: Array, runs: int, others: int) -> Array:
    """Of U/mn where it is `p` in truth (Hanley and McNeil, 1982), the two sample sizes put alike as Newcombe does."""
    more = (runs + others) / 2 - 1
    made: Array = p * (1 - p) * (1 + more * ((1 - p) / (2 - p) + p / (1 + p))) / (runs * others)
    return made
