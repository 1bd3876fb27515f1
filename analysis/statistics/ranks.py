"""Methods ranked over tasks (Demšar, 2006): Friedman's test and Nemenyi's critical difference of mean ranks."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

LEAST = 5
"""Tasks from which ranks are compared."""


class Ranks(NamedTuple):
    """Mean ranks [K] (1 is best), Iman and Davenport's F with its p, and the critical difference of mean ranks."""

    means: Array
    statistic: float
    p: float
    critical: float


def mean_ranks(scores: Array, level: float = 0.95) -> Ranks:
    """Rank the columns of `scores` [T, K] (tasks by methods) in each row, ties at their mean rank.

    The p-value is of Iman and Davenport's correction of Friedman's statistic (Demšar, equations 6 and 7, with the tie
    correction), the critical difference Nemenyi's: q · √(K(K + 1)/6T) with q the studentised range over √2. Raises
    ValueError for fewer than two methods or LEAST tasks.
    """
    tasks, methods = scores.shape
    if tasks < LEAST or methods < 2:
        raise ValueError(f"{tasks} tasks and {methods} methods cannot be ranked: at least {LEAST} and 2 are needed")
    ranks = stats.rankdata(-scores, axis=1)
    means = ranks.mean(axis=0)
    spread = float(((ranks - (methods + 1) / 2) ** 2).sum()) / (tasks * (methods - 1))
    chi = tasks * float(((means - (methods + 1) / 2) ** 2).sum()) / spread if spread > 0 else 0.0
    most = tasks * (methods - 1)
    f = math.inf if chi >= most * (1 - 1e-12) else (tasks - 1) * chi / (most - chi)
    p = float(stats.f.sf(f, methods - 1, (methods - 1) * (tasks - 1)))
    q = float(stats.studentized_range.ppf(level, methods, np.inf)) / math.sqrt(2)
    return Ranks(means, f, p, q * math.sqrt(methods * (methods + 1) / (6 * tasks)))


def cliques(means: Array, critical: float) -> list[tuple[int, ...]]:
    """Largest groups of methods (indices) whose mean ranks lie within the critical difference of each other."""
    order = np.argsort(means, kind="stable")
    groups: list[tuple[int, ...]] = []
    for start, first in enumerate(order):
        last = start
        while last + 1 < order.size and means[order[last + 1]] - means[first] <= critical:
            last += 1
        found = tuple(int(i) for i in order[start : last + 1])
        if len(found) > 1 and not any(set(found) <= set(other) for other in groups):
            groups.append(found)
    return groups
