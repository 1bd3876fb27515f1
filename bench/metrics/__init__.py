"""Metrics: one file each, by being present; also as modules of `evaluate`, which live here and need no hub.

    compute(("f1", "accuracy"), labels, predictions)   # {"f1": 0.81, "accuracy": 0.68}
    evaluate_module("f1").compute(predictions=predictions, references=labels)   # {"f1": 0.81}

Importing this package is cheap. scikit-learn or SciPy is imported by the first computation, evaluate by the first
module only: it takes every worker half a second, and adds nothing to the number.

A score is a metric of which more is better. A main metric of which less is better is scored by its negative, named as
scikit-learn's scorers are: log_loss by neg_log_loss. So nothing that chooses, searches or compares asks which way.

In: labels and predictions.
Out: numbers.
May import: util.
Libraries: datasets, evaluate.
"""

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from finebench.bench.metrics._info import NEGATIVE as NEGATIVE
from finebench.bench.metrics._info import Array as Array
from finebench.bench.metrics._info import Metric as Metric
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


def find(name: str) -> Metric | None:
    """The metric of this name, or the negative of one of which less is better; None where there is none."""
    if name in METRICS:
        return METRICS[name]
    of = METRICS.get(name.removeprefix(NEGATIVE)) if name.startswith(NEGATIVE) else None
    return None if of is None or of.higher_is_better else of.negative


def metric(name: str) -> Metric:
    """As `find`; raises StudyError with the choices and a guess where there is none."""
    found = find(name)
    if found is None:
        raise StudyError(choose("metric", name, METRICS))
    return found


def code(name: str) -> str | None:
    """The hash of the file that a metric, or the metric of a negative, from outside comes from; None for ours."""
    return METRICS.code(name if name in METRICS else name.removeprefix(NEGATIVE))


def scored(names: Sequence[str]) -> tuple[str, ...]:
    """A task's metrics with the main one, `names[0]`, as a score: its negative where less of it is better."""
    main = find(names[0])
    return (names[0] if main is None or main.higher_is_better else main.negative.name, *names[1:])


def scored_once(what: str, names: Sequence[str]) -> tuple[str, ...]:
    """As `scored`; raises StudyError, which begins with `what`, where one metric then stands twice."""
    found = scored(names)
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice is not None:
        same = [given for given, name in zip(names, found, strict=True) if name == twice]
        raise StudyError(f"{what}: metrics {', '.join(same)} are one metric twice")
    return found


def compute(
    names: Sequence[str], labels: Array, predictions: Array, probabilities: Array | None = None
) -> dict[str, float]:
    """Compute metrics of `predictions` [n], or of the classes' `probabilities` [n, C], against `labels` [n]; n >= 1.

    Where a metric is undefined because the predictions (or labels) are constant or not finite, a correlation or MCC is
    0, AUROC 0.5, and an error is NaN. Raises StudyError for an unknown name and ValueError for shapes that do not
    match, StudyError for a value outside of its metric's range.
    """
    if labels.shape != predictions.shape or labels.ndim != 1 or len(labels) == 0:
        raise ValueError(f"labels {labels.shape} and predictions {predictions.shape} must be equally long vectors")
    made = {}
    for one in map(metric, names):
        said = probabilities if one.needs == "probabilities" else predictions
        if said is None or len(said) != len(labels):
            shape = None if said is None else said.shape
            raise ValueError(f"{one.name} needs probabilities [{len(labels)}, classes], not {shape}")
        made[one.name] = one.checked(float(one.score(labels, said)))
    return made


def evaluate_module(name: str) -> "Module":
    """The metric as a module of `evaluate`; raises StudyError for an unknown name."""
    from finebench.bench.metrics._module import module

    return module(metric(name))


def majority_score(names: Sequence[str], train_labels: Array, score_labels: Array) -> float:
    """The main metric (`names[0]`) on `score_labels` of always predicting what is commonest in `train_labels`.

    Classification: the majority class of train, the lowest of equals; of probabilities, the classes' shares in train.
    Regression: the mean of train.
    """
    main = names[:1]
    if metric(main[0]).kind == "regression":
        return compute(main, score_labels, np.full(len(score_labels), np.mean(train_labels)))[main[0]]
    most = int(max(train_labels.max(), score_labels.max())) + 1
    counts = np.bincount(train_labels.astype(np.int64), minlength=most)
    shares = np.tile(counts / counts.sum(), (len(score_labels), 1))
    return compute(main, score_labels, np.full(len(score_labels), np.argmax(counts)), shares)[main[0]]
