"""What metrics share when they are computed on resampled examples, from how often each example was drawn.

A resample of N examples is a vector of N counts. A metric that is a function of sums over examples needs no copy of the
data: the sums are products of a count matrix [R, N] with per-example terms [N, S].
"""

import numpy as np
from numpy.typing import NDArray

from finebench.bench.metrics._info import Array

Floats = NDArray[np.float64]
Sums = tuple[Floats, Floats, Floats]
"""Hits [R, S, C], predicted [R, S, C] and true [R, 1, C] counts by class."""


def class_sums(labels: Floats, predictions: Floats, counts: Floats) -> Sums:
    """Sums over examples by class."""
    classes = np.unique(np.concatenate([labels, predictions.ravel()]))
    truth = labels[:, None] == classes
    shape = (len(counts), len(predictions), len(classes))
    hits, predicted = np.empty(shape), np.empty(shape)
    for s, row in enumerate(predictions):
        said = row[:, None] == classes
        predicted[:, s] = counts @ said.astype(np.float64)
        hits[:, s] = counts @ (said & truth).astype(np.float64)
    return hits, predicted, (counts @ truth.astype(np.float64))[:, None, :]


def ratio(upper: Floats, lower: Floats) -> Floats:
    """upper / lower, 0 where lower is 0 or rounding error."""
    safe = np.where(lower > 0, lower, 1.0)
    return np.where(lower > 0, upper / safe, 0.0)


def all_finite(predictions: Floats | Array) -> NDArray[np.bool_]:
    """Runs [S] all of whose predictions [S, N] or [S, N, C] are finite."""
    made: NDArray[np.bool_] = np.all(np.isfinite(predictions).reshape(len(predictions), -1), axis=1)
    return made


def sorted_values(values: Floats | Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order of `values` [N], and where in it each distinct value starts [G]."""
    order = np.argsort(values, kind="stable")
    return order, np.flatnonzero(np.diff(values[order], prepend=-np.inf))


def per_value(terms: Floats, order: NDArray[np.intp], starts: NDArray[np.intp]) -> Floats:
    """Sums [R, G] of `terms` [R, N] over examples of equal value."""
    ordered = np.take(terms, order, axis=1)
    made: Floats = ordered if starts.size == order.size else np.add.reduceat(ordered, starts, axis=1)
    return made


def mean_of_finite(finite: NDArray[np.bool_], terms: Floats, counts: Floats) -> Floats:
    """Means of per-example terms [S, N] in resamples [R, N]; NaN for the runs [S] that are not finite."""
    return np.where(finite, (counts @ terms.T) / counts.sum(axis=1)[:, None], np.nan)
