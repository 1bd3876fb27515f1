"""The one stored calibration of a results folder: steps per second for seconds budgets, and the GPU's size.

A seconds budget becomes a number of steps once, by the first measurement on this kind of machine, and keeps it: reruns
and resumed studies train the same number of steps whatever else the machine is doing.
"""

import json
from collections.abc import Callable
from typing import Any

from bench.conductor import Pack
from bench.errors import ResultsError
from bench.results import ResultsFolder
from bench.trial import Trial

FILE = "calibration.json"


def rate_key(trial: Trial) -> str:
    """What a speed depends on: everything of a trial but its learning rate, fraction and seeds."""
    shape = {k: v for k, v in trial.hyperparameters.items() if k != "lr"}
    parts = [
        trial.model.name,
        trial.task.name,
        trial.method,
        shape,
        trial.training.batch_size,
        trial.training.max_length,
    ]
    return json.dumps(parts, sort_keys=True)


class Calibration:
    """Speeds by key, read from and written to the results folder."""

    def __init__(self, folder: ResultsFolder, measure: Callable[[Trial], float] | None = None) -> None:
        """`measure` trains a trial's shape briefly and returns steps per second."""
        self.folder, self.measure = folder, measure
        raw: Any = folder.read_json(FILE) or {}
        if not isinstance(raw, dict) or not isinstance(raw.get("steps_per_second", {}), dict):
            raise ResultsError(f"{folder.path(FILE)}: not a calibration written by finebench")
        self.rates: dict[str, float] = raw.get("steps_per_second", {})
        self.gpu_memory: int | None = raw.get("gpu_memory_bytes")

    def rate(self, pack: Pack) -> float | None:
        """Steps per second for a pack under a seconds budget (measured once, then stored); None for other budgets."""
        trial = pack.trials[0]
        if trial.budget.seconds is None:
            return None
        key = rate_key(trial)
        if key not in self.rates:
            if self.measure is None:
                raise ResultsError(f"{self.folder.path(FILE)}: no calibration for {key}")
            self.rates[key] = self.measure(trial)
            self._save()
        return self.rates[key]

    def saw_gpu(self, memory: int | None) -> None:
        """Remember the size of the GPUs that trials ran on."""
        if memory and memory != self.gpu_memory:
            self.gpu_memory = memory
            self._save()

    def _save(self) -> None:
        self.folder.write_json(FILE, {"steps_per_second": self.rates, "gpu_memory_bytes": self.gpu_memory})
