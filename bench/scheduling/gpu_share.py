"""How much of a GPU a pack gets under `gpu: auto`: all of it, or 1/k, where k processes fit and k have work to do.

The first seed of a cell and shape has a GPU to itself, since its costs are theirs. Later packs share one as far as the
measurement of `bench.scheduling.pack_benchmark` says that they leave it idle, and as far as the measured peaks fit with
a reserve: where packs already fill a GPU, one process has it. Each process is capped to its share, so that one trial
cannot kill its neighbour.
"""

import math
from collections.abc import Callable, Iterable

from finebench.bench.results.folder import Done
from finebench.bench.scheduling.pack_benchmark import MOST_PER_GPU, RESERVE, Figures, peak_bytes, processes
from finebench.bench.study.load import method_resources
from finebench.bench.study.parts.training import Resources
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import CONTEXT_BYTES, Pack
from finebench.bench.util.errors import StudyError


def check_fits(study: Study, cpus: float, gpus: float) -> None:
    """Raise StudyError where a method asks for more than a machine has: its trials would wait for ever."""
    for name, own in study.methods.items():
        asked = method_resources(study, name)
        for what, each, there in (("gpu", asked.gpus(gpus), gpus), ("cpu", asked.cpu, cpus)):
            wanted = each * asked.number
            if wanted > there:
                keys = own.get("resources", {})
                place = f"methods.{name}." if what in keys or "ranks" in keys else ""
                of = f" ({asked.number} ranks with {each:g} each)" if asked.number > 1 else ""
                raise StudyError(
                    f"{place}resources.{what}: {wanted:g} asked for{of}, and this machine has {there:g}; trials of "
                    f"{name!r} could never start"
                )


class Shares:
    """Decides the share of each pack; fed with the rows of finished trials. `figures` gives what was measured of a
    trial's shape, None before it was."""

    def __init__(
        self,
        study: Study,
        gpus: float,
        rows: Iterable[Done] = (),
        gpu_memory: int | None = None,
        figures: Callable[[Trial], Figures | None] = lambda trial: None,
    ) -> None:
        self.study, self.gpus, self.gpu_memory, self.figures = study, gpus, gpu_memory, figures
        self._peaks: dict[tuple[str, str], int] = {}
        self._least: dict[tuple[str, str, int], float] = {}
        self._least_of: dict[str, float] = {}
        for row in rows:
            self.observe(row)

    def observe(self, row: Done) -> None:
        """Take in a finished trial's peak memory."""
        if row.peak_memory_bytes:
            key = (row.cell[0], row.cell[1])
            self._peaks[key] = max(self._peaks.get(key, 0), row.peak_memory_bytes)

    def on_gpu(self, trial: Trial) -> bool:
        """Whether a trial trains on a GPU."""
        return method_resources(self.study, trial.method).gpus(self.gpus) > 0

    def gpu(self, pack: Pack) -> float:
        """Share of a GPU for this pack, for each of its ranks: 0 without GPUs, the study's own number, or 1 over what
        fits and pays."""
        trial, size = pack.trials[0], len(pack.trials)
        asked = method_resources(self.study, trial.method).each
        least = self._least.get((trial.task.name, trial.method, size), 0.0)
        least = max(least, *(self._least_of.get(one.id, 0.0) for one in pack.trials))
        if asked != "auto":
            return max(float(asked), least)
        if not self.on_gpu(trial):
            return 0.0
        if pack.alone or pack.measures or trial.ranks > 1:
            return 1.0
        return max(1.0 / self.together(trial, size), least)

    def together(self, trial: Trial, size: int) -> int:
        """How many packs of `size` share a GPU under `gpu: auto`."""
        figures = self.figures(trial)
        if figures is None or self.gpu_memory is None:
            return 1
        measured, seen = peak_bytes(figures, size), self._peaks.get((trial.task.name, trial.method), 0)
        peak = max(measured, seen) if measured else seen * size
        if not peak:
            return 1
        fitting = math.floor(self.gpu_memory / (peak * RESERVE + CONTEXT_BYTES))
        return max(1, min(MOST_PER_GPU, fitting, processes(figures, size)))

    def others(self, pack: Pack) -> Resources:
        """What each rank of this pack takes beside a share of a GPU, and of which nodes."""
        return method_resources(self.study, pack.trials[0].method)

    def raise_after_oom(self, pack: Pack, share: float) -> float | None:
        """After an out-of-memory on `share` of a GPU: the share, at least doubled, that these trials and packs like it
        get from now on; None where it was a whole one, or none."""
        if not 0 < share < 1:
            return None
        key = (pack.trials[0].task.name, pack.trials[0].method, len(pack.trials))
        more = max(1.0 if share * 2 > 0.5 else share * 2, self._least.get(key, 0.0))
        self._least[key] = more
        self._least_of |= {trial.id: more for trial in pack.trials}
        return more
