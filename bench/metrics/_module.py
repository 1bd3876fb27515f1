"""A metric as a module of `evaluate`: usable wherever one from the hub would be, without a hub."""

from typing import Any

import evaluate
import numpy as np
from datasets import Features, Sequence, Value

from finebench.bench.metrics._info import Array, Metric

FEATURES = {
    "classes": (Value("int64"), Value("int64")),
    "probabilities": (Value("int64"), Sequence(Value("float64"))),
    "values": (Value("float64"), Value("float64")),
}
"""By what a metric needs: of a label, and of a prediction."""


class Module(evaluate.Metric):  # type: ignore[misc]
    """`Module(metric).compute(predictions=…, references=…)`; works in memory and writes no file."""

    def __init__(self, given: Metric) -> None:
        self.metric = given
        super().__init__(config_name=given.name, keep_in_memory=True)

    def _build_data_dir(self) -> str:
        return str(self._data_dir_root)  # evaluate would create it, and fail where the home folder is read-only

    def _info(self) -> evaluate.MetricInfo:
        label, said = FEATURES[self.metric.needs]
        return evaluate.MetricInfo(
            description=self.metric.summary,
            citation="",
            inputs_description=f"predictions: {self.metric.needs}; references: {self.metric.kind}",
            features=Features({"predictions": said, "references": label}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        labels: Array = np.asarray(references)
        return {self.metric.name: float(self.metric.score(labels, np.asarray(predictions)))}


def module(metric: Metric) -> Module:
    """A metric as a module of evaluate."""
    return Module(metric)
