"""Mean recall of the classes (Brodersen et al., 2010): accuracy that a majority class cannot carry."""

import warnings

import numpy as np

from finebench.bench.metrics._counts import Floats, class_sums, ratio
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's balanced_accuracy_score, over the classes that are among the labels."""
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(labels, predictions))


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """Recall averaged over the classes that are among the resample's labels."""
    hits, _, true = class_sums(labels, predictions, counts)
    return ratio(ratio(hits, true).sum(axis=2), (true > 0).sum(axis=2).astype(np.float64))


METRIC = Metric("balanced_accuracy", "classes", "mean recall of the classes", "1/classes", score, weighted=weighted)
