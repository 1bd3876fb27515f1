"""Log-loss: the mean negative log-probability (natural) of the true class, a proper score (Good, 1952)."""

import numpy as np

from finebench.bench.metrics._counts import Floats, all_finite, mean_of_finite
from finebench.bench.metrics._info import Array, Metric

FLOOR = float(np.finfo(np.float32).eps)
"""No probability counts as less, as in scikit-learn: one example with 0 would make the mean infinite."""


def score(labels: Array, probabilities: Array) -> float:
    """scikit-learn's log_loss; NaN where a probability is not finite."""
    return float(weighted(labels, probabilities[None], np.ones((1, len(labels))))[0, 0])


def weighted(labels: Floats | Array, probabilities: Floats | Array, counts: Floats) -> Floats:
    """The mean loss; NaN in every resample for a run with a probability that is not finite."""
    finite = all_finite(probabilities)
    true = np.take_along_axis(probabilities, labels.astype(np.intp)[None, :, None], axis=2)[..., 0]
    losses = -np.log(np.maximum(np.where(finite[:, None], true, 1.0).astype(np.float64), FLOOR))
    return mean_of_finite(finite, losses, counts)


METRIC = Metric(
    "log_loss",
    "probabilities",
    "mean negative log-probability of the true class",
    "about the entropy of the classes' shares",
    score,
    higher_is_better=False,
    range=(0.0, -float(np.log(FLOOR))),
    weighted=weighted,
)
