"""F1 of each class, averaged without weights: for more than two classes, or where both classes matter."""

import numpy as np

from finebench.bench.metrics._counts import Floats, class_sums, ratio
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's f1_score averaged over the classes that are there or predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0))


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """F1 averaged over the classes that are there or predicted in the resample."""
    hits, predicted, true = class_sums(labels, predictions, counts)
    seen = predicted + true > 0
    return ratio(ratio(2 * hits, predicted + true).sum(axis=2), seen.sum(axis=2).astype(np.float64))


METRIC = Metric(
    "macro_f1", "classes", "mean of the classes' F1", "2p/(1+p)/classes for share p", score, weighted=weighted
)
