"""Spearman's rank correlation, ties at their mean rank, one of STS-B's two metrics."""

from finebench.bench.metrics._correlation import correlate
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """SciPy's spearmanr; 0 where it is undefined."""
    from scipy.stats import spearmanr

    if len(labels) < 2:
        return 0.0
    return correlate(spearmanr, labels, predictions)


METRIC = Metric(
    "spearman",
    "regression",
    "Spearman's rank correlation, ties at their mean rank, -1 to 1",
    "0",
    score,
    range=(-1.0, 1.0),
)
