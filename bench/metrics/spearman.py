"""Spearman's rank correlation, ties at their mean rank, one of STS-B's two metrics."""

import numpy as np
from numpy.typing import NDArray

from finebench.bench.metrics._correlation import correlate
from finebench.bench.metrics._counts import Floats, all_finite, per_value, ratio, sorted_values
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """SciPy's spearmanr; 0 where it is undefined."""
    from scipy.stats import spearmanr

    if len(labels) < 2:
        return 0.0
    return correlate(spearmanr, labels, predictions)


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """Rank correlation, exact: Pearson's of the mid-ranks that the values have in each resample.

    In a resample a value's mid-rank is the number of draws below it, plus half of (draws equal to it + 1). One sort
    of the original values gives them for every resample by cumulative sums over its distinct values.
    """
    finite = all_finite(predictions)
    middle = (counts.sum(axis=1)[:, None] + 1) / 2  # a mean of mid-ranks is always that
    order, starts = sorted_values(labels)
    size, ranks = _mid_ranks(counts, order, starts, middle)
    vy = np.einsum("rg,rg,rg->r", size, ranks, ranks)
    group = np.empty(labels.size, dtype=np.intp)
    group[order] = np.repeat(np.arange(starts.size), np.diff(starts, append=labels.size))
    weighted = counts * ranks[:, group]
    made = np.zeros((len(counts), len(predictions)))
    for s in np.flatnonzero(finite):
        order, starts = sorted_values(predictions[s])
        size, ranks = _mid_ranks(counts, order, starts, middle)
        vx = np.einsum("rg,rg,rg->r", size, ranks, ranks)
        cov = np.einsum("rg,rg->r", ranks, per_value(weighted, order, starts))
        made[:, s] = np.clip(ratio(cov, np.sqrt(vx * vy)), -1.0, 1.0)
    return made


def _mid_ranks(
    counts: Floats, order: NDArray[np.intp], starts: NDArray[np.intp], middle: Floats
) -> tuple[Floats, Floats]:
    """How often each distinct value was drawn [R, G], and its mid-rank less the mean rank."""
    size = per_value(counts, order, starts)
    ranks: Floats = np.cumsum(size, axis=1) - size / 2 + (0.5 - middle)
    return size, ranks


METRIC = Metric(
    "spearman",
    "values",
    "Spearman's rank correlation, ties at their mean rank, -1 to 1",
    "0",
    score,
    range=(-1.0, 1.0),
    weighted=weighted,
)
