"""Matthews correlation coefficient (Matthews, 1975; for more than two classes: Gorodkin, 2004), CoLA's metric."""

from finebench.bench.metrics._info import Array, Metric


def score(labels: Array, predictions: Array) -> float:
    """scikit-learn's matthews_corrcoef, which is 0 where predictions or labels are constant."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


METRIC = Metric("mcc", "classification", "Matthews correlation coefficient, -1 to 1", "0", score, range=(-1.0, 1.0))
