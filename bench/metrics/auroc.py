"""Area under the ROC curve: how often a row of a class is given more of it than a row of another (Hanley and McNeil,
1982). Of more than two classes the mean over them, each against the rest (Provost and Domingos, 2000, but unweighted).
"""

import numpy as np

from finebench.bench.metrics._counts import Floats, all_finite, per_value, ratio, sorted_values
from finebench.bench.metrics._info import Array, Metric

CHANCE = 0.5


def score(labels: Array, probabilities: Array) -> float:
    """scikit-learn's roc_auc_score (`multi_class="ovr"`, macro) over the classes that are among the labels; 0.5 where
    those are one alone, and where a probability is not finite."""
    return float(weighted(labels, probabilities[None], np.ones((1, len(labels))))[0, 0])


def weighted(labels: Floats | Array, probabilities: Floats | Array, counts: Floats) -> Floats:
    """The share of pairs in order, ties counting half, by cumulative sums over each class's distinct probabilities; the
    mean over the classes that are in the resample and are not all of it."""
    runs, _, classes = probabilities.shape
    finite = all_finite(probabilities)
    areas, defined = np.zeros((len(counts), runs)), np.zeros((len(counts), 1))
    for one in range(classes) if classes > 2 else (1,):  # of two classes, either has the same area
        mine = counts * (labels == one)
        pairs = mine.sum(axis=1) * (counts - mine).sum(axis=1)
        defined += (pairs > 0)[:, None]
        for s in np.flatnonzero(finite):
            order, starts = sorted_values(probabilities[s, :, one])
            hits, others = per_value(mine, order, starts), per_value(counts - mine, order, starts)
            below = np.cumsum(others, axis=1) - others / 2
            areas[:, s] += ratio(np.einsum("rg,rg->r", hits, below), pairs)
    return np.where(finite & (defined > 0), ratio(areas, np.broadcast_to(defined, areas.shape)), CHANCE)


METRIC = Metric(
    "auroc",
    "probabilities",
    "area under the ROC curve, of several classes the mean of each against the rest",
    "0.5",
    score,
    weighted=weighted,
)
