"""Mean recall of the classes (Brodersen et al., 2010): accuracy that a majority class cannot carry."""

import warnings

from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's balanced_accuracy_score, over the classes that are among the labels."""
    from sklearn.metrics import balanced_accuracy_score

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="y_pred contains classes not in y_true")
        return float(balanced_accuracy_score(labels, predictions))


METRIC = Metric("balanced_accuracy", "classification", "mean recall of the classes", "1/classes", score)
