"""A metric as a module of `evaluate`: usable wherever one from the hub would be, without a hub."""

from typing import Any

import evaluate
import numpy as np
from datasets import Features, Value

from finebench.bench.metrics._info import Array, Metric


class Module(evaluate.Metric):  # type: ignore[misc]
    """`Module(metric).compute(predictions=…, references=…)`; works in memory and writes no file."""

    def __init__(self, given: Metric) -> None:
        self.metric = given
        super().__init__(config_name=given.name, keep_in_memory=True)

    def _build_data_dir(self) -> str:
        return str(self._data_dir_root)  # evaluate would create it, and fail where the home folder is read-only

    def _info(self) -> evaluate.MetricInfo:
        value = Value("int64" if self.metric.kind == "classification" else "float64")
        return evaluate.MetricInfo(
            description=self.metric.summary,
            citation="",
            inputs_description=f"predictions and references: {self.metric.kind}",
            features=Features({"predictions": value, "references": value}),
        )

    def _compute(self, predictions: Any, references: Any) -> dict[str, float]:
        labels: Array = np.asarray(references)
        return {self.metric.name: float(self.metric.score(labels, np.asarray(predictions)))}


def module(metric: Metric) -> Module:
    """A metric as a module of evaluate."""
    return Module(metric)
