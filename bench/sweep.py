"""One Ray Tune experiment for the whole study.

Ray Tune schedules packs on whatever CPUs and GPUs there are; the conductor decides what runs next and what a search
stops. Rows come back with the workers' reports and are written here, by one writer, so that workers need no access to
RESULTS.
"""

import logging
import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "600")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from bench.conductor import Conductor, Pack
from bench.errors import InputError
from bench.outcome import lost_record
from bench.record import Record
from bench.recorder import Recorder
from bench.shares import Shares
from bench.shipment import Share, Shipment
from bench.trial import Trial
from bench.worker import Worker

ADDRESS_SECONDS = 10.0
"""How long a cluster may take to answer at its address."""


@dataclass(frozen=True)
class RayOptions:
    """How to reach or start Ray, and what else to log to."""

    address: str | None = None
    retries: int = 2
    logger: str | None = None


class _Searcher(Searcher):  # type: ignore[misc]
    """Hands the conductor's packs to Ray Tune, in the conductor's order."""

    def __init__(self, bridge: "_Bridge") -> None:
        super().__init__(metric="value", mode="max")
        self.bridge = bridge

    def suggest(self, trial_id: str) -> Any:  # the base class forgets FINISHED in its return type
        """The next pack as a config, None to wait, FINISHED at the end."""
        return self.bridge.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Rows are taken in by the callback."""


class _Scheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops what its cell's search stops; otherwise first in, first out."""

    def __init__(self, bridge: "_Bridge") -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP a pack whose search says so."""
        stop = not result.get("done") and self.bridge.rung(trial.trial_id, result["rung"], result["value"])
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


class _Callback(tune.Callback):  # type: ignore[misc]
    """Takes rows out of the reports and writes them."""

    def __init__(self, bridge: "_Bridge") -> None:
        self.bridge = bridge

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack has its worker (or has it again, after the last one was lost)."""
        self.bridge.recorder.observer.on_start(self.bridge.packs[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Store finished rows; the payload is taken out, so that the driver's memory stays flat."""
        payload = result.pop("payload", None) or {}
        if result.get("done"):
            self.bridge.finished(trial.trial_id, payload)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost for good: its trials become rows."""
        self.bridge.lost(trial.trial_id, trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Let the display breathe."""
        self.bridge.recorder.observer.tick()


class _Bridge:
    """Between Ray Tune's ids and the conductor's packs."""

    def __init__(
        self,
        conductor: Conductor,
        recorder: Recorder,
        shares: Shares,
        shipment: Shipment,
        rate: Callable[[Pack], float | None],
    ) -> None:
        self.conductor, self.recorder, self.shares, self.rate = conductor, recorder, shares, rate
        self.study, self.tasks = shipment.study, shipment.tasks
        self.packs: dict[str, Pack] = {}
        self.gpus: dict[str, float] = {}
        self.retry: list[Pack] = []

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Ray Tune pickles its searcher and callbacks for its own restore, which is never used: nothing of ours goes
        in."""
        return (object, ())

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        pack = self.retry.pop(0) if self.retry else self.conductor.next_pack()
        if pack is None:
            ended = self.conductor.finished and not self.packs
            return str(Searcher.FINISHED) if ended else None
        self.packs[trial_id] = pack
        self.gpus[trial_id] = self.shares.gpu(pack)
        return {
            "pack": [trial.to_json() for trial in pack.trials],
            "rungs": pack.rungs,
            "rate": self.rate(pack),
            "cpus": self.shares.cpus(pack),
            "gpu": self.gpus[trial_id],
        }

    def rung(self, trial_id: str, index: int, value: float) -> bool:
        pack = self.packs[trial_id]
        return pack.rungs and self.conductor.on_rung(pack, index, value)

    def finished(self, trial_id: str, payload: dict[str, Any]) -> None:
        pack = self.packs.pop(trial_id, None)
        if pack is None:
            return
        records = [Record.decode(data) for data in payload["records"]]
        if any(r.trial["status"] == "oom" for r in records) and self.shares.raise_after_oom(pack):
            self.recorder.observer.on_note(f"{pack.name}: out of memory on a shared GPU; trying again with more of it")
            self.retry.append(pack)
            return
        self.recorder.store(pack, records, payload.get("gpu_memory"))

    def lost(self, trial_id: str, trial: Any) -> None:
        pack = self.packs.pop(trial_id, None)
        if pack is not None:
            status, reason = _why_lost(trial)
            lost = [lost_record(one, self.study, self.tasks[one.task.name], status, reason) for one in pack.trials]
            self.recorder.store(pack, lost)


def _why_lost(trial: Any) -> tuple[str, str]:
    """Status and reason of a Ray trial whose worker is gone: Ray wrote its last error down before it asked us.

    A worker that Ray's memory monitor killed is `oom`; one that the kernel killed looks like any other lost worker.
    """
    error = trial.get_pickled_error()
    memory = isinstance(error, ray.exceptions.OutOfMemoryError) or "low on memory" in str(error)
    text = " ".join(str(error).split()) if error is not None else "the worker was lost"
    return ("oom" if memory else "error"), f"worker lost: {text[:400]}"


@contextmanager
def ray_session(options: RayOptions, cpus: int | None = None) -> Iterator[None]:
    """Start Ray here, quietly and bound to localhost, or join the cluster at `options.address`; shut down at the end.

    Without an address a Ray of our own is started also where another one runs, which Ray would otherwise join.
    """
    started_here = not ray.is_initialized()
    if started_here:
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
        try:
            if options.address is None:
                with _loopback():
                    ray.init(address="local", include_dashboard=False, num_cpus=cpus, **common)
            else:
                _answers(options.address)
                ray.init(address=options.address, **common)
        except (OSError, ValueError, RuntimeError) as error:
            raise InputError(f"--address {options.address}: no Ray cluster can be reached there: {error}") from error
    try:
        yield
    finally:
        if started_here:
            ray.shutdown()


def _answers(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT: Ray itself would try for minutes, printing as it does."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host and port.isdigit():
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ADDRESS_SECONDS):
            pass


@contextmanager
def _loopback() -> Iterator[None]:
    """Let Ray take the loopback address as this node's, so that its servers listen there and nowhere else.

    Ray does so by itself on macOS and Windows; on Linux it takes the outward address, also where 127.0.0.1 is asked
    for.
    """
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def gpus_available() -> float:
    """GPUs that the connected Ray has now."""
    return float(ray.cluster_resources().get("GPU", 0.0))


def run_sweep(
    conductor: Conductor,
    recorder: Recorder,
    shares: Shares,
    shipment: Shipment,
    files: dict[str, bytes] | None,
    rate: Callable[[Pack], float | None],
    options: RayOptions,
) -> None:
    """Run all that the conductor has to run as one Ray Tune experiment; needs an initialised Ray (`ray_session`)."""
    bridge = _Bridge(conductor, recorder, shares, shipment, rate)
    # Ray keeps a worker for reuse only while a trial waits for it. With one waiting (its default for a searcher), the
    # second of two workers that end together is thrown away, and starting another costs several seconds.
    os.environ.setdefault("TUNE_MAX_PENDING_TRIALS_PG", str(max(2, int(ray.cluster_resources().get("CPU", 1)))))
    scratch = tempfile.mkdtemp(prefix="finebench-ray-")
    trainable = tune.with_resources(
        tune.with_parameters(Worker, shipment=shipment, files=files),
        lambda config: tune.PlacementGroupFactory([{"CPU": config["cpus"], **_gpu(config["gpu"])}]),
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=_Searcher(bridge), scheduler=_Scheduler(bridge), num_samples=-1, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="finebench",
            storage_path=scratch,
            verbose=0,
            callbacks=[_Callback(bridge), *_loggers(options.logger, shipment.study)],
            failure_config=tune.FailureConfig(max_failures=options.retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    try:
        with _quiet():
            tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def measure_rate(trial: Trial, shipment: Shipment, files: dict[str, bytes] | None, shares: Shares) -> float:
    """Steps per second of a trial's shape, measured on a worker with the resources it will have."""
    share = Share(shares.cpus(Pack((trial,))), 1.0 if shares.gpu(Pack((trial,))) > 0 else 0.0)
    remote = ray.remote(_measure).options(num_cpus=share.cpus, num_gpus=share.gpu)
    return float(ray.get(remote.remote(trial.to_json(), shipment, files, share)))


def _measure(text: str, shipment: Shipment, files: dict[str, bytes] | None, share: Share) -> float:
    from bench.trainer import Resident, calibrate
    from bench.worker import localise

    return calibrate(Resident(localise(shipment, files), share), Trial.from_json(text))


def _gpu(share: float) -> dict[str, float]:
    return {"GPU": share} if share > 0 else {}


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ray Tune's console noise out of the user's terminal; what goes wrong in a trial becomes a row."""
    loggers = [logging.getLogger(name) for name in ("ray.tune", "ray.train", "ray.air", "ray")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _loggers(name: str | None, study: str) -> list[Any]:
    """Ray Tune's own logger callbacks, on request; raises InputError where the package is missing."""
    if name is None:
        return []
    try:
        if name == "tensorboard":
            from ray.tune.logger import TBXLoggerCallback

            return [TBXLoggerCallback()]
        if name == "mlflow":
            from ray.air.integrations.mlflow import MLflowLoggerCallback

            return [MLflowLoggerCallback(experiment_name=study)]
        from ray.air.integrations.wandb import WandbLoggerCallback

        return [WandbLoggerCallback(project=study)]
    except ImportError as error:
        raise InputError(f"--logger {name}: {error}; install it with pip install 'finebench[{name}]'") from error
