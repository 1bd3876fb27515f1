"""A worker that trains nothing and reports complete rows: what is left of a sweep is the harness.

It takes `bench.driver.ray.worker.Worker`'s place in a sweep (`idle_workers`); the product has no hook for it. Its
records have a real trial's shape: one row, an evaluation of either split, and a prediction for every example of the
task's `score`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest.mock import patch

import numpy as np

from finebench.bench.driver.ray.worker import Worker
from finebench.bench.metrics import majority_score
from finebench.bench.results.record import Record
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.evaluation import Evaluation, Predictions, Progress
from finebench.bench.training.measured import Measured
from finebench.bench.training.worker.messages import Pack, Shipment
from finebench.bench.training.worker.result_rows import make_record
from finebench.bench.util.machine import device_name

STEPS = 10


def noop_record(shipment: Shipment, trial: Trial) -> Record:
    """What a trial would leave behind, with a constant predictor's outputs and made-up scores drawn from its id."""
    task = shipment.tasks[trial.task.name]
    n = len(task.score.labels)
    drawn = int(trial.id[:8], 16) / 2**32
    found = Predictions(np.zeros(n), np.full((n, 2), 0.5), 0.7, dict.fromkeys(task.task.metrics, drawn))
    point = Evaluation(STEPS, 16 * STEPS, 0.001, 1e9, 1e-4, True, found, found)
    progress = Progress(STEPS, 16 * STEPS, 160 * STEPS, 1600 * STEPS, 0.001, 0.001, [point], point)
    return make_record(
        trial=trial,
        study=shipment.study,
        status="ok",
        reason=None,
        task=task,
        progress=progress,
        measured=Measured(100, 50, 1000, 100, 100_000, 4000, 0.001, 10**8, alone=True),
        majority=majority_score(task.task.metrics, task.train.labels, task.score.labels),
        majority_select=None,
        device=device_name("cpu"),
        started_at=datetime.now(UTC),
    )


class NoopRun:
    """Ends at once, as `bench.training.worker.pack_runner.PackRun` does after its last step."""

    stopped = False
    lost = None

    def __init__(self, shipment: Shipment, pack: Pack) -> None:
        self.shipment, self.pack = shipment, pack

    def advance(self) -> None:
        """Nothing is left to train."""

    def notes(self) -> list[str]:
        """Nothing to tell."""
        return []

    def ended(self) -> list[Record]:
        """Every member has."""
        return self.records()

    def records(self, pruned: bool = False) -> list[Record]:
        """Every member's rows."""
        return [noop_record(self.shipment, trial) for trial in self.pack.trials]

    def close(self) -> None:
        """Nothing is held."""


class NoopWorker(Worker):
    """The worker without torch, model and training; it reports as any worker does."""

    def setup(self, config: dict[str, Any], shipment: Any = None, files: Any = None) -> None:
        """Keep the shipment; claim no device."""
        self.shipment = shipment
        self._begin(config)

    def _start(self, rate: float | None) -> Any:
        return NoopRun(self.shipment, self.pack)

    def _gpu_memory(self) -> None:
        return None

    def _reaches_results(self) -> bool:
        return True


@contextmanager
def idle_workers() -> Iterator[None]:
    """Let sweeps that start inside this block use the no-op worker."""
    with patch("finebench.bench.driver.ray.sweep.Worker", NoopWorker):
        yield
