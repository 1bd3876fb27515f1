"""F1 of the positive class (class 1) of two, the main metric of MRPC and QQP."""

from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's f1_score of class 1; 0 where class 1 is neither there nor predicted."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, pos_label=1, average="binary", zero_division=0))


METRIC = Metric(
    "f1",
    "classification",
    "F1 of the second of two classes",
    "2p/(1+p) for class 1 of share p, else 0",
    score,
    binary=True,
)
