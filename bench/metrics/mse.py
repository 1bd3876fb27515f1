"""Mean squared error."""

import numpy as np

from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's mean_squared_error; NaN where a prediction is not finite."""
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(labels, predictions)) if np.isfinite(predictions).all() else float("nan")


METRIC = Metric(
    "mse",
    "regression",
    "mean squared error",
    "the labels' variance",
    score,
    higher_is_better=False,
    range=(0.0, float("inf")),
)
