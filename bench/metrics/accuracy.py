"""Share of rows predicted right."""

import numpy as np

from finebench.bench.metrics._counts import Floats
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's accuracy_score."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """Share predicted right."""
    right = np.equal(predictions, labels).T.astype(np.float64)
    made: Floats = (counts @ right) / counts.sum(axis=1)[:, None]
    return made


METRIC = Metric("accuracy", "classes", "share of rows predicted right", "the class's share", score, weighted=weighted)
