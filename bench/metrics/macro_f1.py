"""F1 of each class, averaged without weights: for more than two classes, or where both classes matter."""

from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's f1_score averaged over the classes that are there or predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0))


METRIC = Metric("macro_f1", "classification", "mean of the classes' F1", "2p/(1+p)/classes for share p", score)
