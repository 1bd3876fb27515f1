"""Metrics: one file each, by being present; also as modules of `evaluate`, which live here and need no hub.

    compute(("f1", "accuracy"), labels, predictions)   # {"f1": 0.81, "accuracy": 0.68}
    evaluate_module("f1").compute(predictions=predictions, references=labels)   # {"f1": 0.81}

Importing this package is cheap. scikit-learn or SciPy is imported by the first computation, evaluate by the first
module only: it takes every worker half a second, and adds nothing to the number.

In: labels and predictions.
Out: numbers.
May import: util.
Libraries: datasets, evaluate.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from finebench.bench.metrics._info import Array, Metric
from finebench.bench.util.doors import Door
from finebench.bench.util.errors import StudyError, choose

if TYPE_CHECKING:
    from finebench.bench.metrics._module import Module


def _in(module: ModuleType) -> Iterator[tuple[str, Metric]]:
    one = getattr(module, "METRIC", None)
    if isinstance(one, Metric):
        yield one.name, one


METRICS: Door[Metric] = Door("metric", __name__, "finebench.metrics", _in)
"""All metrics by name."""


def metric(name: str) -> Metric:
    """The metric of this name; raises StudyError with the choices and a guess."""
    if name not in METRICS:
        raise StudyError(choose("metric", name, METRICS))
    return METRICS[name]


def compute(names: Sequence[str], labels: Array, predictions: Array) -> dict[str, float]:
    """Compute metrics of `predictions` [n] against `labels` [n]; n >= 1.

    Where a metric is undefined because the predictions (or labels) are constant or not finite, a correlation or MCC is
    0 and an error is NaN. Raises StudyError for an unknown name and ValueError for shapes that do not match.
    """
    if labels.shape != predictions.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must be equally long vectors")
    return {name: float(metric(name).score(labels, predictions)) for name in names}


def evaluate_module(name: str) -> "Module":
    """The metric as a module of `evaluate`; raises StudyError for an unknown name."""
    from finebench.bench.metrics._module import module

    return module(metric(name))


def majority_score(names: Sequence[str], train_labels: Array, score_labels: Array) -> float:
    """The main metric (`names[0]`) on `score_labels` of always predicting what is commonest in `train_labels`.

    Classification: the majority class of train, the lowest of equals. Regression: the mean of train.
    """
    if metric(names[0]).kind == "classification":
        classes, counts = np.unique(train_labels, return_counts=True)
        constant = classes[np.argmax(counts)]
    else:
        constant = np.mean(train_labels)
    predictions: Array = np.full(len(score_labels), constant)
    return compute(names[:1], score_labels, predictions)[names[0]]
