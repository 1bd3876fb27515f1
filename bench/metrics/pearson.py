"""Pearson's product-moment correlation, one of STS-B's two metrics."""

from finebench.bench.metrics._correlation import correlate
from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """SciPy's pearsonr; 0 where it is undefined."""
    from scipy.stats import pearsonr

    if len(labels) < 2:
        return 0.0
    return correlate(pearsonr, labels, predictions)


METRIC = Metric("pearson", "regression", "Pearson's product-moment correlation, -1 to 1", "0", score, range=(-1.0, 1.0))
