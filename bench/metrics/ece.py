"""Expected calibration error (Guo et al., 2017, equation 3): by how much confidence and accuracy differ.

Rows are put in 15 bins of equal width by the probability of their likeliest class. In the mean over samples it is
greater than 0 for a calibrated model too, the more so the fewer rows there are (Kumar et al., 2019): compare models on
the same rows.
"""

import numpy as np

from finebench.bench.metrics._counts import Floats, all_finite
from finebench.bench.metrics._info import Array, Metric

BINS = 15


def score(labels: Array, probabilities: Array) -> float:
    """The bins' mean of |accuracy − mean confidence|, weighted by their rows; NaN where a probability is not finite."""
    return float(weighted(labels, probabilities[None], np.ones((1, len(labels))))[0, 0])


def weighted(labels: Floats | Array, probabilities: Floats | Array, counts: Floats) -> Floats:
    """The same of resamples: Σ over bins of |Σ over the bin's rows of count · (right − confidence)| / rows."""
    finite = all_finite(probabilities)
    made = np.full((len(counts), len(probabilities)), np.nan)
    for s in np.flatnonzero(finite):
        confidence = probabilities[s].max(axis=1).astype(np.float64)
        gap = (probabilities[s].argmax(axis=1) == labels) - confidence
        bins = np.clip(np.ceil(confidence * BINS), 1, BINS)  # bin m holds ((m − 1)/15, m/15]
        binned = np.where(bins[:, None] == np.arange(1, BINS + 1), gap[:, None], 0.0)
        made[:, s] = np.abs(counts @ binned).sum(axis=1) / counts.sum(axis=1)
    return made


METRIC = Metric(
    "ece",
    "probabilities",
    "expected calibration error, in 15 bins",
    "next to 0, the best there is: not for a main metric",
    score,
    higher_is_better=False,
    weighted=weighted,
    main=False,
)
