"""F1 of the positive class (class 1) of two, the main metric of MRPC and QQP."""

import numpy as np

from finebench.bench.metrics._counts import Floats, ratio
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's f1_score of class 1; 0 where class 1 is neither there nor predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, pos_label=1, average="binary", zero_division=0))


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """2·tp / (predicted + true) of class 1; 0 where it is neither there nor predicted."""
    positive, said = labels == 1, predictions == 1
    both = counts @ (said & positive).T.astype(np.float64)
    lower = counts @ said.T.astype(np.float64) + (counts @ positive.astype(np.float64))[:, None]
    return ratio(2 * both, lower)


METRIC = Metric(
    "f1",
    "classes",
    "F1 of the second of two classes",
    "2p/(1+p) for class 1 of share p, else 0",
    score,
    binary=True,
    weighted=weighted,
)
