"""Pearson's product-moment correlation, one of STS-B's two metrics."""

import numpy as np

from finebench.bench.metrics._correlation import correlate
from finebench.bench.metrics._counts import Floats, all_finite, ratio
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """SciPy's pearsonr; 0 where it is undefined."""
    from scipy.stats import pearsonr

    if len(labels) < 2:
        return 0.0
    return correlate(pearsonr, labels, predictions)


NEAR_CONSTANT = 1e-13
"""SciPy's own bound, relative to the mean, below which a correlation is rounding error and counts as undefined."""


def weighted(labels: Floats, predictions: Floats, counts: Floats) -> Floats:
    """Product-moment correlation by weighted moments; 0 where either side is constant in the resample."""
    finite = all_finite(predictions)
    x = np.where(finite[:, None], predictions, 0.0).T
    scale = np.abs(x.mean(axis=0)), np.abs(labels.mean())
    x, y = x - x.mean(axis=0), (labels - labels.mean())[:, None]  # centred first: moments lose no digits
    total = counts.sum(axis=1)[:, None]
    mx, my = (counts @ x) / total, (counts @ y) / total
    cov = (counts @ (x * y)) / total - mx * my
    vx, vy = _spread(counts, x, mx, total, scale[0]), _spread(counts, y, my, total, scale[1])
    return np.where(finite, np.clip(ratio(cov, np.sqrt(vx * vy)), -1.0, 1.0), 0.0)


def _spread(counts: Floats, x: Floats, mean: Floats, total: Floats, scale: Floats) -> Floats:
    """Weighted variance [R, S], 0 where it is rounding error."""
    mean_square = (counts @ x**2) / total
    variance = mean_square - mean**2
    near = (NEAR_CONSTANT * scale) ** 2 / total
    rounding = 4 * np.finfo(np.float64).eps * mean_square
    return np.where(variance > np.maximum(near, rounding), variance, 0.0)


METRIC = Metric(
    "pearson",
    "values",
    "Pearson's product-moment correlation, -1 to 1",
    "0",
    score,
    range=(-1.0, 1.0),
    weighted=weighted,
)
