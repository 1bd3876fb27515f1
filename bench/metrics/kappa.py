"""Cohen's kappa (Cohen, 1960): agreement with the labels, beyond what equal class shares alone would give."""

import warnings

import numpy as np

from finebench.bench.metrics._counts import Floats, class_sums, ratio
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's cohen_kappa_score; 0 where labels and predictions are one class alone, and it is 0/0."""
    from sklearn.metrics import cohen_kappa_score

    if len(np.unique(np.concatenate([labels, predictions]))) < 2:
        return 0.0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="A single label was found")
        return float(cohen_kappa_score(labels, predictions))


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """(observed - expected) / (1 - expected) agreement, times the squared number of examples."""
    hits, predicted, true = class_sums(labels, predictions, counts)
    total = counts.sum(axis=1)[:, None]
    expected = (predicted * true).sum(axis=2)
    return ratio(total * hits.sum(axis=2) - expected, total**2 - expected)


METRIC = Metric(
    "kappa",
    "classes",
    "Cohen's kappa: agreement beyond chance, -1 to 1",
    "0",
    score,
    range=(-1.0, 1.0),
    weighted=weighted,
)
