"""The Brier score (Brier, 1950) over all classes: the squared error of the probabilities, a proper score."""

import numpy as np
from numpy.typing import NDArray

from finebench.bench.metrics import Array, Metric

Floats = NDArray[np.float64]


def score(labels: Array, probabilities: Array) -> float:
    """Of labels [n] and probabilities [n, classes]."""
    return float(weighted(labels.astype(float), probabilities[None], np.ones((1, len(labels))))[0, 0])


def weighted(labels: Floats, probabilities: Array, counts: Floats) -> Floats:
    """The same of S runs in R resamples: labels [N], probabilities [S, N, classes], counts [R, N] -> [R, S]."""
    truth = labels[:, None] == np.arange(probabilities.shape[2])
    errors = np.square(probabilities.astype(float) - truth).sum(axis=2)
    made: Floats = counts @ errors.T / counts.sum(axis=1)[:, None]
    return made


METRIC = Metric(
    "brier",
    "probabilities",
    "mean squared error of the classes' probabilities",
    "one less the sum of the shares' squares",
    score,
    higher_is_better=False,
    range=(0.0, 2.0),
    weighted=weighted,
)
