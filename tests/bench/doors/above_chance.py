"""Informedness (Youden, 1950): recall of the two classes, less one."""

import numpy as np

from finebench.bench.metrics import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """0 where one class alone is there."""
    recalls = [float(np.mean(predictions[labels == one] == one)) for one in (0, 1) if (labels == one).any()]
    return sum(recalls) - 1 if len(recalls) == 2 else 0.0


METRIC = Metric(
    "above_chance", "classification", "recall of both classes, less one", "0", score, binary=True, range=(-1.0, 1.0)
)
