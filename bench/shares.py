"""How much of a GPU a trial gets: measured once per method, task and batch shape, then as many to a GPU as fit.

The first trial of a kind runs alone on a whole GPU and is its measurement. Later ones get 1/k of a GPU, where k of the
measured peaks fit with a reserve; each process is capped to its share, so that one trial cannot kill its neighbour.
"""

import math
from collections.abc import Iterable

from bench.conductor import Pack
from bench.results import Done
from bench.study import Study
from bench.study_file import method_resources

CONTEXT_BYTES = 700 * 2**20
"""Room for one process's CUDA context and libraries, outside the allocator's cap."""
RESERVE = 1.15
"""A trial's share holds its measured peak times this: other subsets hold other lengths."""
MOST_PER_GPU = 16


class Shares:
    """Decides the share of each pack; fed with the rows of finished trials."""

    def __init__(self, study: Study, gpus: float, rows: Iterable[Done] = (), gpu_memory: int | None = None) -> None:
        self.study, self.gpus, self.gpu_memory = study, gpus, gpu_memory
        self._peaks: dict[tuple[str, str], int] = {}
        self._raised: dict[str, float] = {}
        for row in rows:
            self.observe(row, gpu_memory)

    def observe(self, row: Done, gpu_memory: int | None) -> None:
        """Take in a finished trial's peak memory and its GPU's size."""
        self.gpu_memory = gpu_memory or self.gpu_memory
        if row.peak_memory_bytes:
            key = (row.cell[0], row.cell[1])
            self._peaks[key] = max(self._peaks.get(key, 0), row.peak_memory_bytes)

    def gpu(self, pack: Pack) -> float:
        """Share of a GPU for this pack: 0 without GPUs, the study's own number, or what its measured peak needs."""
        trial = pack.trials[0]
        asked = method_resources(self.study, trial.method).gpu
        if pack.name in self._raised:
            return self._raised[pack.name]
        if asked != "auto":
            return float(asked)
        if self.gpus <= 0:
            return 0.0
        peak = self._peaks.get((trial.task.name, trial.method))
        if peak is None or self.gpu_memory is None:
            return 1.0
        return self._fit(peak * len(pack.trials))

    def _fit(self, peak: int) -> float:
        need = peak * RESERVE + CONTEXT_BYTES
        fitting = math.floor((self.gpu_memory or 0) / need)
        return 1.0 / min(MOST_PER_GPU, fitting) if fitting > 1 else 1.0

    def cpus(self, pack: Pack) -> float:
        """CPUs for this pack."""
        return float(method_resources(self.study, pack.trials[0].method).cpu)

    def raise_after_oom(self, pack: Pack) -> bool:
        """After an out-of-memory on a shared GPU: double the share and say that it is worth another try."""
        now = self.gpu(pack)
        if not 0 < now < 1:
            return False
        self._raised[pack.name] = 1.0 if now * 2 > 0.5 else now * 2
        return True
