"""How alike the predictions of two seeds are, example by example: two runs of equal score can disagree on many."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Agreement(NamedTuple):
    """Over pairs of seeds: mean disagreement, its least and most; and the share of examples on which all seeds agree.

    Classification: disagreement is churn, the share of examples predicted differently. Regression: the root mean
    squared difference of two seeds' predictions over the standard deviation of the labels; `unanimous` is then the
    share of examples whose predictions all lie within a tenth of that deviation of each other. `both_wrong`: of a
    seed's wrong examples, the share that another seed gets wrong too; NaN for regression, or without errors.
    """

    disagreement: float
    least: float
    most: float
    unanimous: float
    both_wrong: float
    pairs: int


NEAR = 0.1


def agreement(labels: Array, predictions: Array, classes: bool) -> Agreement:
    """Agreement of `predictions` [S, N], S >= 2, on examples with `labels` [N]."""
    pairs = list(combinations(range(len(predictions)), 2))
    spread = 1.0 if classes else float(labels.std())
    if classes:
        between = np.array([np.mean(predictions[i] != predictions[j]) for i, j in pairs])
        unanimous = float(np.mean((predictions == predictions[0]).all(axis=0)))
    else:
        between = np.array([np.sqrt(np.mean((predictions[i] - predictions[j]) ** 2)) for i, j in pairs]) / spread
        unanimous = float(np.mean(np.ptp(predictions, axis=0) <= NEAR * spread))
    shared = _both_wrong(predictions != labels, pairs) if classes else float("nan")
    ends = float(between.min()), float(between.max())
    return Agreement(float(between.mean()), *ends, unanimous, shared, len(pairs))


def _both_wrong(wrong: NDArray[np.bool_], pairs: list[tuple[int, int]]) -> float:
    either = sum(float(wrong[i].sum() + wrong[j].sum()) for i, j in pairs)
    both = sum(2.0 * float((wrong[i] & wrong[j]).sum()) for i, j in pairs)
    return both / either if either else float("nan")
