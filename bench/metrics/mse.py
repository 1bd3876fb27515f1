"""Mean squared error."""

import numpy as np

from finebench.bench.metrics._counts import Floats, all_finite, mean_of_finite
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's mean_squared_error; NaN where a prediction is not finite."""
    from sklearn.metrics import mean_squared_error

    return float(mean_squared_error(labels, predictions)) if np.isfinite(predictions).all() else float("nan")


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """Mean squared error; NaN in every resample for a run with a prediction that is not finite."""
    finite = all_finite(predictions)
    squares = (np.where(finite[:, None], predictions, 0.0) - labels) ** 2
    return mean_of_finite(finite, squares, counts)


METRIC = Metric(
    "mse",
    "values",
    "mean squared error",
    "the labels' variance",
    score,
    higher_is_better=False,
    range=(0.0, float("inf")),
    weighted=weighted,
)
