"""A study until settled whose trainer is simulated, and a driver of it that is killed where it is told to be.

    python -m tests.bench.driver.waves_life STUDY RESULTS        runs it, killed once at every boundary of its waves

Each life is a process of its own, forked off one that has imported everything, and its death a real SIGKILL: it falls
where the driver says it is, not where a clock happens to be. Scores are drawn by task, method and seed.
"""

import json
import os
import signal
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

import finebench.analysis.claims.interim
import finebench.bench.training.worker.worker_cache  # noqa: F401 (once, for every life)
from finebench.analysis.claims.interim import needed_after
from finebench.bench.driver import local
from finebench.bench.driver.opening import Opening
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.record import Record
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.load import load_study
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import CellKey, Trial
from finebench.bench.study.waves import Waves
from finebench.bench.training.worker.messages import Pack
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.benchmarks import noop

GAPS = {("mini-cola", "bitfit"): 0.1, ("mini-mrpc", "bitfit"): 0.016, ("mini-mrpc", "lora"): -0.004}
"""What a method lies below 0.95, on a task."""

MOMENTS = ("in its last seed", "before it", "after it", "once it is written down", "in the first trial after it")


def drawn(task: str, method: str, seed: int) -> float:
    """A score: half of a seed's noise is common to all methods."""
    common, own = (np.random.default_rng([seed, *text.encode()]).normal(0, 0.01) for text in (task, task + method))
    return float(0.95 - GAPS.get((task, method), 0.0) + common + own)


class Simulated(noop.NoopRun):
    """Stands in for bench.training.worker.pack_runner.PackRun: ends at once, with drawn scores."""

    def __init__(self, cache: WorkerCache, pack: Pack, rate: float | None = None) -> None:
        super().__init__(cache.shipment, pack)

    def records(self, pruned: bool = False) -> list[Record]:
        """Every member's rows."""
        return [self._record(trial) for trial in self.pack.trials]

    def _record(self, trial: Trial) -> Record:
        made = noop.noop_record(self.shipment, trial)
        score = drawn(trial.task.name, trial.method, trial.seeds.code)
        made.trial.update(score=score, score_last=score, select_score=score)
        return made

    def check_device(self) -> None:
        """There is none."""


class Doomed(Observer):
    """Kills its own process at a look, counted from 0."""

    def __init__(self, schedule: tuple[int, ...], look: int | None = None, moment: str = "") -> None:
        self.schedule, self.look, self.moment = schedule, look, moment

    def on_start(self, pack: Pack) -> None:
        """A trial has been started."""
        seeds = {trial.seeds.code % 1000 for trial in pack.trials if trial.stage in ("grid", "confirm")}
        if self.look is not None and self.schedule[self.look] in seeds:
            self.at(self.look, "in its last seed")
        if self.look is not None and any(seed > self.schedule[self.look] for seed in seeds):
            self.at(self.look, "in the first trial after it")

    def at(self, look: int, moment: str) -> None:
        """Die, where it is time to."""
        if (look, moment) == (self.look, self.moment):
            os.kill(os.getpid(), signal.SIGKILL)


def live(study: Study, results: str, doom: Doomed) -> None:
    """Run what is missing, until the end or the doom."""

    def settle(folder: str, looks: int) -> tuple[Collection[CellKey], str]:
        doom.at(looks - 1, "before it")
        found = needed_after(folder, looks)
        doom.at(looks - 1, "after it")
        return found

    moved = Opening._moved

    def and_then(opening: Opening, waves: Waves) -> None:
        moved(opening, waves)
        doom.at(waves.looks - 1, "once it is written down")

    with patch.object(local, "PackRun", Simulated), patch.object(Opening, "_moved", and_then):
        run_study(study, RunOptions(results, debug=True), lambda scheduler: doom, lambda *one: None, settle)


def killed_everywhere(study: Study, results: str) -> Iterator[dict[str, Any]]:
    """A life per boundary over one results folder, and a last one: how each ended, and the trials that it left."""
    assert study.waves is not None
    schedule = study.waves.schedule
    dooms = [Doomed(schedule, look, moment) for look in range(len(schedule)) for moment in MOMENTS]
    for doom in [*dooms[:-1], Doomed(schedule)]:  # nothing follows the last look
        child = os.fork()
        if not child:
            live(study, results, doom)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        signalled = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        yield {"look": doom.look, "moment": doom.moment, "signal": signalled, "code": code}


if __name__ == "__main__":
    for one in killed_everywhere(load_study(sys.argv[1]), str(Path(sys.argv[2]))):
        print(json.dumps(one), flush=True)
