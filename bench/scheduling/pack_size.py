"""How many trials are trained together: what the study says, or under `pack: auto` what was measured to be best.

On a CPU auto is 1: a core has no idle time that a second trial could fill. On a GPU growing packs of a method, task and
batch shape are timed once, on a worker, before the first trial that may be packed or may share its GPU. The timings are
stored with the results; whoever goes on with them uses them again, on another GPU too.
"""

import math

from finebench.bench.methods import method
from finebench.bench.scheduling.calibration import Calibration, rate_key
from finebench.bench.scheduling.gpu_share import Shares
from finebench.bench.scheduling.pack_benchmark import Figures, best_size
from finebench.bench.scheduling.pack_queue import timing_key
from finebench.bench.study.load import method_resources
from finebench.bench.study.parts.training import Resources
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import Need, Pack, own_bytes


class AsWritten:
    """On CPUs and without Ray: the study's own number, one where it says auto."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def missing(self, trial: Trial, alone: bool) -> Need | None:
        """Nothing: a speed is measured where it is needed."""
        return None

    def most(self, trial: Trial, waiting: int) -> int:
        """What the study says; one of a method that packs gain nothing for."""
        asked = method_resources(self.study, trial.method).pack
        return 1 if asked == "auto" or method(trial.method).prepays or trial.ranks > 1 else asked


class PackSizes:
    """Says what has to be measured before a pack may start, and how many trials to give it."""

    def __init__(self, study: Study, shares: Shares, calibration: Calibration) -> None:
        self.study, self.shares, self.calibration = study, shares, calibration
        self._resources: dict[str, Resources] = {}
        self._given_up: set[Need] = set()
        self._most: dict[str, int] = {}

    def missing(self, trial: Trial, alone: bool) -> Need | None:
        """A seconds budget waits for its speed; what may be packed or share a GPU, for the timings of packs."""
        needs = []
        if trial.budget.seconds is not None and (key := rate_key(trial)) not in self.calibration.rates:
            needs.append(Need("rate", key))
        if not alone and self._timed(trial) and self.calibration.figures_of(trial) is None:
            needs.append(Need("packs", timing_key(trial)))
        return next((need for need in needs if need not in self._given_up), None)

    def _timed(self, trial: Trial) -> bool:
        """Whether timings decide anything for a trial."""
        resources = self._of(trial)
        if trial.ranks > 1:
            return False
        packed = resources.pack == "auto" and trial.stage != "search" and not method(trial.method).prepays
        return self.shares.on_gpu(trial) and (packed or resources.gpu == "auto")

    def _of(self, trial: Trial) -> Resources:
        if trial.method not in self._resources:
            self._resources[trial.method] = method_resources(self.study, trial.method)
        return self._resources[trial.method]

    def most(self, trial: Trial, waiting: int) -> int:
        """The study's number; under auto the size of most trials per hour, but no more than leave something for every
        GPU. Never more than a pack that ran out of memory on a whole GPU has left."""
        if method(trial.method).prepays or trial.ranks > 1:
            return 1
        asked = self._of(trial).pack
        size = self._best(trial, waiting) if asked == "auto" else int(asked)
        return min(size, self._most.get(timing_key(trial), size))

    def _best(self, trial: Trial, waiting: int) -> int:
        figures = self.calibration.figures_of(trial)
        if figures is None or not self.shares.on_gpu(trial):
            return 1
        size = best_size(figures, self._memory(trial))
        places = max(1.0, self.shares.gpus) * self._places(trial, size)
        return max(1, min(size, math.ceil(waiting / places)))

    def _memory(self, trial: Trial) -> int | None:
        """Bytes for one process: of its share where the study gives one, else of a GPU."""
        whole, asked = self.shares.gpu_memory, self._of(trial).gpu
        if whole is None:
            return None
        return own_bytes(whole, 1.0 if asked == "auto" else float(asked))

    def _places(self, trial: Trial, size: int) -> float:
        """Processes on one GPU."""
        asked = self._of(trial).gpu
        return self.shares.together(trial, size) if asked == "auto" else 1 / float(asked)

    def learn(self, need: Need, rate: float | None, figures: Figures | None) -> None:
        """Store what was measured."""
        if need.what == "rate" and rate is not None:
            self.calibration.store_rate(need.key, rate)
        elif need.what == "packs" and figures is not None:
            self.calibration.store_figures(need.key, figures)

    def saw_gpu(self, memory: int | None) -> None:
        """A worker has told the size of its GPU."""
        self.calibration.saw_gpu(memory)
        self.shares.gpu_memory = self.calibration.gpu_memory

    def give_up(self, need: Need) -> None:
        """A measurement failed: go on without it, in this run."""
        self._given_up.add(need)

    def shrink(self, pack: Pack) -> None:
        """A pack ran out of memory where it had all there is: no later pack of its shape is as big."""
        key, half = timing_key(pack.trials[0]), max(1, len(pack.trials) // 2)
        self._most[key] = min(half, self._most.get(key, half))
