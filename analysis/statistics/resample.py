"""Counts of examples drawn in each bootstrap replicate (Efron, 1979): the same for everything scored on N examples.

Two methods scored on the same examples must be resampled together, or their difference would carry the noise of two
test sets. The counts are therefore a function of N alone, whoever asks.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

Weighted = Callable[[Array, Array, Array], Array]
"""A metric from counts: (labels [N], predictions [S, N], counts [R, N]) -> values [R, S]."""

REPLICATES = 1000
"""The relative error of a bootstrap standard error is then 1/√(2·1000) = 2.2 %."""

_SEED = 20220625
_BLOCK = 4_000_000  # counts held at once: 32 MB
_KEPT = 2  # tables of counts kept between calls


@lru_cache(maxsize=_KEPT)
def _kept(n: int) -> Array:
    return np.concatenate(list(_drawn(n)))


def _drawn(n: int) -> Iterator[Array]:
    rng = np.random.default_rng([_SEED, n])
    step = max(1, _BLOCK // n)
    for start in range(0, REPLICATES, step):
        rows = min(step, REPLICATES - start)
        draws = rng.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        yield np.bincount(draws.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)


def counts(n: int) -> Iterator[Array]:
    """Counts [r, n] of `REPLICATES` draws of n among n examples, in blocks; each row sums to n."""
    if REPLICATES * n <= _BLOCK:
        yield _kept(n)
    else:
        yield from _drawn(n)


def resampled(metric: Weighted, labels: Array, predictions: Array) -> Array:
    """The metric [REPLICATES, S] of `predictions` [S, N] against `labels` [N] in every replicate."""
    return np.concatenate([metric(labels, predictions, block) for block in counts(labels.size)])


def measured(metric: Weighted, labels: Array, predictions: Array) -> Array:
    """The metric [S] on the examples as they are."""
    made: Array = metric(labels, predictions, np.ones((1, labels.size)))[0]
    return made
