"""Informedness (Youden, 1950): recall of the two classes, less one."""

import numpy as np
from numpy.typing import NDArray

from finebench.bench.metrics import Array, Metric

Floats = NDArray[np.float64]


def score(labels: Array, predictions: Array) -> float:
    """0 where the labels are of one class alone."""
    recalls = [float(np.mean(predictions[labels == one] == one)) for one in (0, 1) if (labels == one).any()]
    return sum(recalls) - 1 if len(recalls) == 2 else 0.0


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """The same of S runs in R resamples: labels [N], predictions [S, N], counts [R, N] -> [R, S]."""
    both, made = np.ones((len(counts), 1), dtype=bool), np.full((len(counts), len(predictions)), -1.0)
    for one in (0, 1):
        there = (counts @ (labels == one))[:, None]
        made += counts @ ((predictions == one) & (labels == one)).T / np.maximum(there, 1)
        both &= there > 0
    return np.where(both, made, 0.0)


METRIC = Metric(
    "above_chance",
    "classes",
    "recall of both classes, less one",
    "0",
    score,
    binary=True,
    range=(-1.0, 1.0),
    weighted=weighted,
)
