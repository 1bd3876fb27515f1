"""The Ray Tune trainable: a reused worker that trains one pack after another and reports rows as Arrow bytes."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finebench.bench.driver.ray.model_files import localise
from finebench.bench.driver.ray.nodes.proof import NodeUnfit
from finebench.bench.training.worker.messages import Share
from finebench.bench.util.errors import DeviceLost
from finebench.bench.util.own_python import installed_first
from finebench.bench.util.quick_imports import uncollected
from finebench.bench.util.user_cache import used

with uncollected():
    from ray import tune

if TYPE_CHECKING:
    from finebench.bench.training.worker.pack_runner import PackRun

HEARTBEAT_SECONDS = 5.0
"""A pack that is not asked to report its rungs reports at most this often while it trains, and less often beside many
others (`beat`)."""
REPORTS = 20.0
"""Reports a second that a driver has to take of trials that go on; more would keep it from those that end."""


def beat(slots: float) -> float:
    """Seconds between a worker's reports where so many train at once."""
    return max(HEARTBEAT_SECONDS, slots / REPORTS)


class PackWorker:
    """Trains packs; reused for pack after pack, so that imports, weights and data are paid for once.

    `config` holds `pack` (the trials as JSON), `rungs`, `rate`, `measures`, `ranks`, `beat`, and the `cpus` and `gpu`
    of each rank; `step` returns `done`, the latest `rung` and, as trials end or at every rung, the rows that the driver
    writes.
    """

    run_: "PackRun"
    unpacked: Path | None = None

    def setup(self, config: dict[str, Any], shipment: Any = None, files: Any = None) -> None:
        """Start the process's worker cache; torch is imported here, on the worker."""
        installed_first()  # Ray has put the driver's working directory in front
        with uncollected():
            from finebench.bench.training.worker.pack_runner import PackRun  # noqa: F401  with all that training needs
            from finebench.bench.training.worker.worker_cache import WorkerCache

        local, share = localise(shipment, files), Share(config["cpus"], config["gpu"])
        self.unpacked = None if files is None else Path(local.model_folder)
        self.cache = WorkerCache(local, share)
        if config.get("ranks", 1) > 1:
            from finebench.bench.driver.ray.rank_actors import RayFollowers

            self.cache.followers = RayFollowers(shipment, files, share)
        self._begin(config)

    def prove(self) -> None:
        """Compute a small step, with its gradient, on the device; raises RuntimeError where it comes out wrong."""
        import torch

        ones = torch.ones(8, 8, device=self.cache.device, requires_grad=True)
        (ones @ ones).sum().backward()
        found = None if ones.grad is None else float(ones.grad.sum())
        if found != 16.0 * 64:
            raise RuntimeError(f"a product of ones on {self.cache.device} has the gradient {found}, and not 1024")

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next pack in the same process."""
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        from finebench.bench.study.trial_id import Trial
        from finebench.bench.training.worker.messages import Pack

        if self.unpacked is not None:
            used(self.unpacked)  # it may load the model again, days after it began
        trials = tuple(Trial.from_json(text) for text in config["pack"])
        self.gone, self.beat = False, config["beat"]
        self.pack, self.measures = Pack(trials, config["rungs"]), config["measures"]
        if hasattr(self, "run_"):
            self.run_.close()  # one that its search stopped is not at its end
        if self.measures is None:
            self.run_ = self._start(config["rate"])
        self.rungs = self.pack.rungs

    def _start(self, rate: float | None) -> "PackRun":
        from finebench.bench.training.worker.pack_runner import PackRun

        return PackRun(self.cache, self.pack, rate)

    def step(self) -> dict[str, Any]:
        """Train to the next rung (where rungs are asked for), the next heartbeat, or the end.

        Raises DeviceLost, upon which Ray ends this process, once its GPU fails whatever it is asked: a later pack would
        fail here, and may do well elsewhere.
        """
        if self.measures is not None:
            return self._measure()
        if self.gone:  # what ended well before that has been reported
            self.run_.check_device()
        until = time.monotonic() + self.beat
        rung = self.run_.advance()
        while rung is not None and not self.run_.stopped and not self.rungs and time.monotonic() < until:
            rung = self.run_.advance()
        while rung is not None and self.run_.stopped:
            rung = self.run_.advance()  # the other members write their checkpoints too
        if self.pack.searches:
            self.run_.check_device()
        self.gone = self.run_.lost is not None
        done = rung is None and not self.gone
        payload: dict[str, Any] = {"gpu_memory": self._gpu_memory(), "notes": self.run_.notes()}
        payload["reached"] = self._reaches_results()
        if not self.pack.searches:
            payload["records" if done else "ended"] = [record.encode() for record in self.run_.ended()]
        if self.gone:
            return {"done": False, "rung": 0, "value": 0.0, "payload": payload}
        if self.run_.stopped:
            return {"done": True, "rung": 0, "value": 0.0, "payload": payload | {"stopped": True}}
        if self.pack.searches and (done or self.rungs):
            payload["records"] = [record.encode() for record in self.run_.records(pruned=not done)]
        index, value = (rung.index, rung.value) if rung else (0, 0.0)
        return {"done": done, "rung": index, "value": value, "payload": payload}

    def _measure(self) -> dict[str, Any]:
        """Measure what the driver asks for, in the shape of the pack's trial."""
        from finebench.bench.scheduling.worker_benchmark import measure_for
        from finebench.bench.util.device_faults import lost

        payload: dict[str, Any] = {"gpu_memory": self._gpu_memory()}
        try:
            payload |= measure_for(self.measures, self.cache, self.pack.trials[0])
        except (DeviceLost, NodeUnfit):  # of another rank: what is measured is measured again elsewhere
            raise
        except Exception as error:  # nothing that a trial does may end the sweep; it will be a row of its own
            if gone := lost(self.cache.device):
                raise DeviceLost(f"{error}; the process has lost its GPU: {gone}") from error
            payload["failed"] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        return {"done": True, "rung": 0, "value": 0.0, "payload": payload}

    def _gpu_memory(self) -> int | None:
        if self.cache.device.type != "cuda":
            return None
        import torch

        return int(torch.cuda.get_device_properties(self.cache.device).total_memory)

    def _reaches_results(self) -> bool:
        return self.cache.watch.mine

    def cleanup(self) -> None:
        """Nothing is held that the process's end does not free."""


class Worker(PackWorker, tune.Trainable):  # type: ignore[misc]
    """The same as a trainable of Ray Tune, where driver and worker are one machine (else: bench.driver.ray.gate)."""
