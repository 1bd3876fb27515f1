"""Every metric on resampled examples at once, from how often each example was drawn.

A resample of N examples is a vector of N counts. A metric that is a function of sums over examples needs no copy of
the data: the sums are products of a count matrix [R, N] with per-example terms [N, S]. Definitions, signs and what is
undefined are those of the harness's own metrics (0 for MCC, F1 and correlations, NaN for errors).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sums = tuple[Array, Array, Array, Array]
"""Hits [R, S, C], predicted [R, S, C], true [R, 1, C] counts by class, and the classes' values [C]."""

Metric = Callable[[Array, Array, Array], Array]
"""(labels [N], predictions [S, N], counts [R, N]) -> values [R, S]."""

NEAR_CONSTANT = 1e-13
"""SciPy's own bound, relative to the mean, below which a correlation is rounding error and counts as undefined."""


def _class_sums(labels: Array, predictions: Array, counts: Array) -> Sums:
    classes = np.unique(np.concatenate([labels, predictions.ravel()]))
    truth = labels[:, None] == classes
    shape = (len(counts), len(predictions), len(classes))
    hits, predicted = np.empty(shape), np.empty(shape)
    for s, row in enumerate(predictions):
        said = row[:, None] == classes
        predicted[:, s] = counts @ said.astype(np.float64)
        hits[:, s] = counts @ (said & truth).astype(np.float64)
    return hits, predicted, (counts @ truth.astype(np.float64))[:, None, :], classes


def _ratio(upper: Array, lower: Array) -> Array:
    """upper / lower, 0 where lower is 0 or rounding error."""
    safe = np.where(lower > 0, lower, 1.0)
    return np.where(lower > 0, upper / safe, 0.0)


def accuracy(labels: Array, predictions: Array, counts: Array) -> Array:
    """Share predicted right."""
    right = np.equal(predictions, labels).T.astype(np.float64)
    made: Array = (counts @ right) / counts.sum(axis=1)[:, None]
    return made


def f1(labels: Array, predictions: Array, counts: Array) -> Array:
    """2·tp / (predicted + true) of class 1; 0 where it is neither there nor predicted."""
    positive, said = labels == 1, predictions == 1
    both = counts @ (said & positive).T.astype(np.float64)
    lower = counts @ said.T.astype(np.float64) + (counts @ positive.astype(np.float64))[:, None]
    return _ratio(2 * both, lower)


def macro_f1(labels: Array, predictions: Array, counts: Array) -> Array:
    """F1 averaged over the classes that are there or predicted in the resample."""
    hits, predicted, true, _ = _class_sums(labels, predictions, counts)
    seen = predicted + true > 0
    return _ratio(_ratio(2 * hits, predicted + true).sum(axis=2), seen.sum(axis=2).astype(np.float64))


def balanced_accuracy(labels: Array, predictions: Array, counts: Array) -> Array:
    """Recall averaged over the classes that are among the resample's labels."""
    hits, _, true, _ = _class_sums(labels, predictions, counts)
    return _ratio(_ratio(hits, true).sum(axis=2), (true > 0).sum(axis=2).astype(np.float64))


def mcc(labels: Array, predictions: Array, counts: Array) -> Array:
    """Matthews correlation, for any number of classes (Gorodkin, 2004, equation 8 in counts)."""
    hits, predicted, true, _ = _class_sums(labels, predictions, counts)
    total = counts.sum(axis=1)[:, None]
    upper = total * hits.sum(axis=2) - (predicted * true).sum(axis=2)
    lower = (total**2 - (predicted**2).sum(axis=2)) * (total**2 - (true**2).sum(axis=2))
    return _ratio(upper, np.sqrt(lower))


def _finite(predictions: Array) -> NDArray[np.bool_]:
    """Runs [S] all of whose predictions are finite."""
    made: NDArray[np.bool_] = np.all(np.isfinite(predictions), axis=1)
    return made


def mse(labels: Array, predictions: Array, counts: Array) -> Array:
    """Mean squared error; NaN in every resample for a run with a prediction that is not finite."""
    finite = _finite(predictions)
    squares = (np.where(finite[:, None], predictions, 0.0) - labels) ** 2
    return np.where(finite, (counts @ squares.T) / counts.sum(axis=1)[:, None], np.nan)


def rmse(labels: Array, predictions: Array, counts: Array) -> Array:
    """Root of the mean squared error."""
    return np.sqrt(mse(labels, predictions, counts))


def pearson(labels: Array, predictions: Array, counts: Array) -> Array:
    """Product-moment correlation by weighted moments; 0 where either side is constant in the resample."""
    finite = _finite(predictions)
    x = np.where(finite[:, None], predictions, 0.0).T
    scale = np.abs(x.mean(axis=0)), np.abs(labels.mean())
    x, y = x - x.mean(axis=0), (labels - labels.mean())[:, None]  # centred first: moments lose no digits
    total = counts.sum(axis=1)[:, None]
    mx, my = (counts @ x) / total, (counts @ y) / total
    cov = (counts @ (x * y)) / total - mx * my
    vx, vy = _spread(counts, x, mx, total, scale[0]), _spread(counts, y, my, total, scale[1])
    return np.where(finite, np.clip(_ratio(cov, np.sqrt(vx * vy)), -1.0, 1.0), 0.0)


def _spread(counts: Array, x: Array, mean: Array, total: Array, scale: Array) -> Array:
    """Weighted variance [R, S], 0 where it is rounding error."""
    mean_square = (counts @ x**2) / total
    variance = mean_square - mean**2
    near = (NEAR_CONSTANT * scale) ** 2 / total
    rounding = 4 * np.finfo(np.float64).eps * mean_square
    return np.where(variance > np.maximum(near, rounding), variance, 0.0)


def spearman(labels: Array, predictions: Array, counts: Array) -> Array:
    """Rank correlation, exact: Pearson's of the mid-ranks that the values have in each resample.

    In a resample a value's mid-rank is the number of draws below it, plus half of (draws equal to it + 1). One sort
    of the original values gives them for every resample by cumulative sums over its distinct values.
    """
    finite = _finite(predictions)
    middle = (counts.sum(axis=1)[:, None] + 1) / 2  # a mean of mid-ranks is always that
    order, starts = _sorted(labels)
    size, ranks = _mid_ranks(counts, order, starts, middle)
    vy = np.einsum("rg,rg,rg->r", size, ranks, ranks)
    group = np.empty(labels.size, dtype=np.intp)
    group[order] = np.repeat(np.arange(starts.size), np.diff(starts, append=labels.size))
    weighted = counts * ranks[:, group]
    made = np.zeros((len(counts), len(predictions)))
    for s in np.flatnonzero(finite):
        order, starts = _sorted(predictions[s])
        size, ranks = _mid_ranks(counts, order, starts, middle)
        vx = np.einsum("rg,rg,rg->r", size, ranks, ranks)
        cov = np.einsum("rg,rg->r", ranks, _per_value(weighted, order, starts))
        made[:, s] = np.clip(_ratio(cov, np.sqrt(vx * vy)), -1.0, 1.0)
    return made


def _sorted(values: Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order of `values` [N], and where in it each distinct value starts [G]."""
    order = np.argsort(values, kind="stable")
    return order, np.flatnonzero(np.diff(values[order], prepend=-np.inf))


def _per_value(terms: Array, order: NDArray[np.intp], starts: NDArray[np.intp]) -> Array:
    """Sums [R, G] of `terms` [R, N] over examples of equal value."""
    ordered = np.take(terms, order, axis=1)
    made: Array = ordered if starts.size == order.size else np.add.reduceat(ordered, starts, axis=1)
    return made


def _mid_ranks(counts: Array, order: NDArray[np.intp], starts: NDArray[np.intp], middle: Array) -> tuple[Array, Array]:
    """How often each distinct value was drawn [R, G], and its mid-rank less the mean rank."""
    size = _per_value(counts, order, starts)
    ranks: Array = np.cumsum(size, axis=1) - size / 2 + (0.5 - middle)
    return size, ranks


METRICS: dict[str, Metric] = {
    function.__name__: function
    for function in (accuracy, balanced_accuracy, f1, macro_f1, mcc, mse, pearson, rmse, spearman)
}
"""By the name that `trials.metric` carries; a metric that is not here gets intervals over seeds only."""
