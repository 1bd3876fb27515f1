"""Matthews correlation coefficient (Matthews, 1975; for more than two classes: Gorodkin, 2004), CoLA's metric."""

import numpy as np

from finebench.bench.metrics._counts import Floats, class_sums, ratio
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's matthews_corrcoef, which is 0 where predictions or labels are constant."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """Matthews correlation, for any number of classes (Gorodkin, 2004, equation 8 in counts)."""
    hits, predicted, true = class_sums(labels, predictions, counts)
    total = counts.sum(axis=1)[:, None]
    upper = total * hits.sum(axis=2) - (predicted * true).sum(axis=2)
    lower = (total**2 - (predicted**2).sum(axis=2)) * (total**2 - (true**2).sum(axis=2))
    return ratio(upper, np.sqrt(lower))


METRIC = Metric(
    "mcc",
    "classes",
    "Matthews correlation coefficient, -1 to 1",
    "0",
    score,
    range=(-1.0, 1.0),
    weighted=weighted,
)
