"""Share of rows predicted right."""

from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's accuracy_score."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(labels, predictions))


METRIC = Metric("accuracy", "classification", "share of rows predicted right", "the class's share", score)
