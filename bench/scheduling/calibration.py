"""The one stored calibration of a results folder: speeds for seconds budgets, timings of packs, and the GPU's size.

A seconds budget becomes a number of steps once, by the first measurement on this kind of machine, and keeps it: reruns
and resumed studies train the same number of steps whatever else the machine is doing.
"""

import json
import math
from collections.abc import Callable
from typing import Any

from finebench.bench.methods import method
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.pack_benchmark import Figures, Timing
from finebench.bench.scheduling.pack_queue import timing_key
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import ResultsError

FILE = "calibration.json"


def rate_key(trial: Trial) -> str:
    """What a speed depends on: everything of a trial but its learning rate, fraction and seeds; for a method that works
    before its first step, fraction and budget too. Speeds of fp32 stand under keys that do not name it."""
    shape = {k: v for k, v in trial.hyperparameters.items() if k != "lr"}
    parts: list[Any] = [
        trial.model.name,
        trial.task.name,
        trial.method,
        shape,
        trial.training.batch_size,
        trial.training.max_length,
    ]
    if method(trial.method).prepays:
        parts += [trial.fraction, trial.budget.seconds]
    if trial.ranks > 1:
        parts += [trial.ranks, trial.shard]
    if trial.training.precision != "fp32":
        parts.append(trial.training.precision)
    return json.dumps(parts, sort_keys=True)


class Calibration:
    """Speeds by key, read from and written to the results folder."""

    def __init__(
        self, folder: ResultsFolder, measure: Callable[[Trial], float] | None = None, cluster: bool = False
    ) -> None:
        """`measure` trains a trial's shape briefly and returns steps per second; `cluster`: trials run on nodes of
        which more may come."""
        self.folder, self.measure = folder, measure
        raw: Any = folder.read_json(FILE) or {}
        try:
            self.rates: dict[str, float] = {key: float(rate) for key, rate in raw.get("steps_per_second", {}).items()}
            self.gpu_memory: int | None = raw.get("gpu_memory_bytes")
            self._figures = {key: _figures(one) for key, one in raw.get("packs", {}).items()}
        except (AttributeError, TypeError, KeyError, ValueError, OverflowError) as error:
            raise ResultsError(f"{folder.path(FILE)}: not a calibration written by finebench") from error
        self._smallest = self.gpu_memory if cluster else None  # bytes of the smallest GPU that counts

    def rate(self, pack: Pack) -> float | None:
        """Steps per second for a pack under a seconds budget, measured here where it is not stored yet and this process
        can; None for other budgets, and where the measurement failed."""
        trial = next((one for one in pack.trials if one.budget.seconds is not None), None)
        if trial is None:
            return None
        key = rate_key(trial)
        if key not in self.rates and self.measure is not None:
            self.store_rate(key, self.measure(trial))
        return self.rates.get(key)

    def store_rate(self, key: str, rate: float) -> None:
        """Keep a measured speed."""
        self.rates[key] = rate
        self._save()

    def figures_of(self, trial: Trial) -> Figures | None:
        """The timings of packs in a trial's shape; None before they are measured."""
        return self._figures.get(timing_key(trial))

    def store_figures(self, key: str, figures: Figures) -> None:
        """Keep the timings of packs."""
        self._figures[key] = dict(figures)
        self._save()

    def saw_gpu(self, memory: int | None) -> None:
        """Remember the size of the smallest GPU that trials are on: a pack has to fit wherever it comes to run. On a
        cluster that is the smallest of all runs, since one that an earlier run had may come again; on one machine of
        this run, and what an earlier one had counts until the first is seen."""
        if memory and (self._smallest is None or memory < self._smallest):
            self._smallest = memory
            if memory != self.gpu_memory:
                self.gpu_memory = memory
                self._save()

    def _save(self) -> None:
        packs = {
            key: {str(size): {"seconds_per_step": one.seconds, "peak_bytes": one.peak} for size, one in known.items()}
            for key, known in self._figures.items()
        }
        document = {"steps_per_second": self.rates, "packs": packs, "gpu_memory_bytes": self.gpu_memory}
        self.folder.write_json(FILE, document)


def _figures(raw: dict[str, dict[str, Any]]) -> dict[int, Timing]:
    """Stored timings; raises ValueError, TypeError or AttributeError for what is none."""
    found = {int(size): Timing(float(one["seconds_per_step"]), one["peak_bytes"]) for size, one in raw.items()}
    for size, timing in found.items():
        if size < 1 or not 0 < timing.seconds < math.inf or not isinstance(timing.peak, int | None):
            raise ValueError(f"pack of {size}: {timing}")
    if 1 not in found:
        raise ValueError("no timing of one trial")
    return found
