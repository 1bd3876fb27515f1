"""Root of the mean squared error: an error in the label's own unit."""

import numpy as np

from finebench.bench.metrics import mse
from finebench.bench.metrics._counts import Floats
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's root_mean_squared_error; NaN where a prediction is not finite."""
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(labels, predictions)) if np.isfinite(predictions).all() else float("nan")


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """Root of the mean squared error."""
    return np.sqrt(mse.weighted(labels, predictions, counts))


METRIC = Metric(
    "rmse",
    "values",
    "root mean squared error",
    "the labels' spread",
    score,
    higher_is_better=False,
    range=(0.0, float("inf")),
    weighted=weighted,
)
