"""One Ray Tune experiment for the whole study.

Ray Tune schedules packs on whatever CPUs and GPUs there are; the scheduler decides what runs next and what a search
stops. Rows come back with the workers' reports and are written here, by one writer, so that workers need no access to
RESULTS.
"""

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from typing import Any

from finebench.bench.driver.ray.session import RayOptions, cpus_available  # before ray: how Ray behaves

import ray  # isort: skip
from ray import tune  # isort: skip
from ray.exceptions import RayError  # isort: skip
from ray.tune.experiment import Trial  # isort: skip
from ray.tune.schedulers import FIFOScheduler, TrialScheduler  # isort: skip
from ray.tune.search import Searcher  # isort: skip

from finebench.bench.driver.ray import local_ray, workarounds
from finebench.bench.driver.ray.gate import Gate, placement, sent_whole
from finebench.bench.driver.ray.model_files import ModelFiles
from finebench.bench.driver.ray.nodes.fitness import Fitness
from finebench.bench.driver.ray.nodes.proof import fingerprint
from finebench.bench.driver.ray.oom_kills import KernelKills
from finebench.bench.driver.ray.pulse import Pulse
from finebench.bench.driver.ray.standby import MOST, Most, choose
from finebench.bench.driver.ray.tune_adapter import TuneAdapter
from finebench.bench.driver.ray.worker import Worker
from finebench.bench.results.leftovers import scratch
from finebench.bench.scheduling.pack_size import PackSizes
from finebench.bench.scheduling.recorder import Recorder
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.training.worker.messages import Shipment
from finebench.bench.util.errors import FinebenchError, InputError, plain
from finebench.bench.util.signals import Stop

GROW_EVERY = 15.0
"""Seconds between looks at whether the cluster has more places than before."""


class _Searcher(Searcher):  # type: ignore[misc]
    """Hands the scheduler's packs to Ray Tune, in the scheduler's order."""

    def __init__(self, adapter: TuneAdapter) -> None:
        super().__init__(metric="value", mode="max")
        self.adapter = adapter

    def suggest(self, trial_id: str) -> Any:  # the base class forgets FINISHED in its return type
        """The next pack as a config, None to wait, FINISHED at the end."""
        return self.adapter.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Rows are taken in by the callback."""


class _Scheduler(FIFOScheduler):  # type: ignore[misc]
    """Stops what its cell's search stops; otherwise first in, first out.

    Ray's own looks through every trial that there ever was before each decision, so that a trial costs the more the
    more there were.
    """

    def __init__(self, adapter: TuneAdapter, most: Most) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.adapter, self.most = adapter, most
        self.waiting: list[Any] = []

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """A pack was suggested."""
        workarounds.prepare(trial)
        self.waiting.append(trial)

    def choose_trial_to_run(self, tune_controller: Any) -> Any:
        """The oldest pack that has no worker and none getting ready, what is tried again before others, or None.

        Once the run is told to stop, what waits is taken off Ray Tune, which would begin it on workers that have just
        ended: each would write a checkpoint, and hold the end up.
        """
        self.waiting = [trial for trial in self.waiting if trial.status == Trial.PENDING]  # what ran never waits again
        if self.adapter.stop.requested:
            with redirect_stdout(StringIO()):  # its reporter would tell of each
                for trial in self.waiting:
                    tune_controller.stop_trial(trial)
            self.waiting = []
        return choose(tune_controller, self.waiting, self.most.number, self._begun)

    def _begun(self, trial: Any) -> bool:
        one = self.adapter.running.get(trial.trial_id)
        return one is not None and one.begun

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """STOP a pack whose search says so."""
        stop = not result.get("done") and self.adapter.rung(trial.trial_id, result["rung"], result["value"])
        return str(TrialScheduler.STOP if stop else TrialScheduler.CONTINUE)


class _Callback(tune.Callback):  # type: ignore[misc]
    """Takes rows out of the reports and writes them."""

    def __init__(self, adapter: TuneAdapter, grow: Callable[[], None]) -> None:
        self.adapter, self.grow = adapter, grow
        self._next = time.monotonic()

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Ray Tune pickles its callbacks for its own restore, which is never used."""
        return (object, ())

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A pack has its worker."""
        self.adapter.started(trial.trial_id, trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Store finished rows; the payload is taken out, so that the driver's memory stays flat."""
        payload = result.pop("payload", None) or {}
        self.adapter.heard(trial.trial_id, payload)
        if result.get("done"):
            self.adapter.finished(trial.trial_id, payload)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Keep nothing of it: its rows are stored."""
        workarounds.forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A worker was lost."""
        self.adapter.lost(trial.trial_id, trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look after what runs; leave where nothing does or will."""
        self.adapter.tick()
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + GROW_EVERY
            self.grow()
        if self.adapter.done:
            workarounds.leave()


def run_sweep(
    scheduler: Scheduler,
    recorder: Recorder,
    sizes: PackSizes,
    shipment: Shipment,
    files: ModelFiles | None,
    options: RayOptions,
    stop: Stop,
    grow: Callable[[], int] = lambda: 0,
) -> None:
    """Run all that the scheduler has to run as one Ray Tune experiment; needs an initialised Ray (`ray_session`).

    `grow` is called now and then, for what follows the cluster's places; it returns on how many nodes of a cluster
    trials may run, 0 without one.
    """
    kernel = KernelKills() if options.address is None else None  # of other machines nothing is known
    answers = Pulse.of_this_driver().answers
    fitness = Fitness(recorder.observer.on_note)
    adapter = TuneAdapter(scheduler, recorder, sizes, shipment, options.retries, stop, answers, kernel, fitness)
    most = Most(options.places, cpus_available)

    def widen() -> None:
        nodes = grow()
        most.look()
        if nodes:
            recorder.observer.on_slots(nodes, *adapter.slots)

    if options.address is None:
        worker = tune.with_parameters(Worker, shipment=shipment, files=files)
    else:
        cargo = [ray.put(shipment), ray.put(files)]
        worker = tune.with_parameters(Gate, cargo=cargo, driver=fingerprint())
    trainable = tune.with_resources(worker, placement)
    try:
        with (
            _quiet(),
            scratch(None if options.address else local_ray.session_folder()) as storage,
            workarounds.losses_are_outcomes(),
            workarounds.environment(MOST, str(most.number)),
            sent_whole(),
        ):
            tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=_Searcher(adapter),
                    scheduler=_Scheduler(adapter, most),
                    num_samples=-1,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name="finebench",
                    storage_path=storage,
                    verbose=0,
                    callbacks=[_Callback(adapter, widen)],
                    failure_config=tune.FailureConfig(max_failures=0),  # the adapter retries, also what dies starting
                    checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
                ),
            ).fit()
        if not adapter.done:  # Ray Tune was told to end: it takes a SIGUSR1 for that
            raise KeyboardInterrupt
    except Exception as error:
        inner = _unwrapped(error)
        if inner is None:
            raise
        if isinstance(inner, RayError):  # see workarounds.losses_are_outcomes
            raise InputError(
                f"Ray Tune ended the run: {type(inner).__name__}: {plain(str(inner))}; what is finished is stored, and "
                "the same command goes on"
            ) from error
        if not isinstance(inner, workarounds.AllDone):
            raise inner from error


def _unwrapped(error: BaseException) -> FinebenchError | RayError | workarounds.AllDone | None:
    """What one of our callbacks raised (the end, the storage fails, the folder is lost), or what Ray says of a lost
    worker, out of Ray's wrapping."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, FinebenchError | RayError | workarounds.AllDone):
        inner = inner.__cause__ or inner.__context__
    return inner


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
