"""Train what a scheduler hands out: in this process, or over a Ray cluster."""

import math
import os
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace

from finebench.bench.driver.cargo import load
from finebench.bench.driver.opening import Opening
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.validate import Prepared
from finebench.bench.results.folder import Done
from finebench.bench.scheduling.calibration import Calibration
from finebench.bench.scheduling.gpu_share import Shares, check_fits
from finebench.bench.scheduling.pack_size import AsWritten, PackSizes
from finebench.bench.scheduling.recorder import Recorder
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.load import method_resources
from finebench.bench.study.plugins import worker_plugins
from finebench.bench.training.worker.messages import Share, Shipment
from finebench.bench.util.cores import slots
from finebench.bench.util.errors import InputError, ResultsError
from finebench.bench.util.signals import Stop

RAYS_MEMORY = 0.7
"""The part of a machine's memory that Ray gives to trials; the rest is its object store's."""
LAST_WORDS = 5.0
"""Seconds in which a run whose Ray is gone gives its folder up, where that can be reached."""


def train(
    ready: Prepared,
    scheduler: Scheduler,
    recorder: Recorder,
    options: RunOptions,
    shares: Mapping[str, Share] | None,
    stop: Stop,
    opening: Opening,
) -> None:
    """Train all that there is to train; returns once nothing is left that could start before the next look."""
    folder = recorder.folder
    shipment = Shipment(
        study=ready.study.name,
        model_folder=str(ready.model.folder),
        tasks=ready.tasks,
        timeout=ready.study.trial_timeout,
        keep=options.keep,
        results=folder.root if folder.local else options.results,
        run=recorder.lock.token if recorder.lock else "",
        checkpoint_seconds=_checkpoint_seconds(),
        plugins=worker_plugins(ready.study),
    )
    if shares is not None:
        _run_here(ready, scheduler, recorder, shipment, shares, stop, opening)
        return
    if scheduler.finished or scheduler.idle:  # nothing is left to train, before the next look at least
        opening.begin(recorder)
        scheduler.look()
    if not scheduler.finished:
        _run_ray(ready, scheduler, recorder, shipment, options, stop, opening)


def _checkpoint_seconds() -> float:
    """Seconds between checkpoints of a trial in flight: FINEBENCH_CHECKPOINT_SECONDS, else half a minute."""
    text = os.environ.get("FINEBENCH_CHECKPOINT_SECONDS", "30")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise InputError(f"FINEBENCH_CHECKPOINT_SECONDS={text!r}: a number of seconds is needed, 0 or more")
    return seconds


def _run_here(
    ready: Prepared,
    scheduler: Scheduler,
    recorder: Recorder,
    shipment: Shipment,
    shares: Mapping[str, Share],
    stop: Stop,
    opening: Opening,
) -> None:
    from finebench.bench.driver.local import run_in_process
    from finebench.bench.driver.ray.nodes import asks
    from finebench.bench.training.worker.pack_runner import calibrate
    from finebench.bench.training.worker.worker_cache import WorkerCache, gpu_count

    recorder.observer.on_wait("loading the model")
    cache = WorkerCache(shipment, next(iter(shares.values())))
    calibration = Calibration(recorder.folder, lambda trial: calibrate(cache, trial))
    scheduler.sizes = AsWritten(ready.study)
    gpus = gpu_count()
    here = asks.Room(slots(), gpus, {"memory": RAYS_MEMORY * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")})
    opening.begin(recorder, asks.slots(ready.study, gpus, [here]))
    stop.arm()
    run_in_process(scheduler, recorder, cache, shares, calibration.rate, stop)


def _run_ray(
    ready: Prepared,
    scheduler: Scheduler,
    recorder: Recorder,
    shipment: Shipment,
    options: RunOptions,
    stop: Stop,
    opening: Opening,
) -> None:
    from finebench.bench.driver.ray import pulse, session  # and no more yet: Ray Tune is imported while Ray starts

    longest = pulse.patience()  # also of a Ray of our own, which could not read it either
    ray_options = session.RayOptions(options.address, ready.study.retries)
    joins = "starting Ray" if options.address is None else f"joining the Ray cluster at {options.address}"
    recorder.observer.on_wait(joins)
    with session.ray_session(ray_options):
        from finebench.bench.driver.ray import sweep
        from finebench.bench.driver.ray.model_files import pack_files
        from finebench.bench.driver.ray.nodes import autoscaler, capacity, roster

        files = pack_files(ready.model.folder) if options.address else None
        gpus = session.gpus_available()
        brings = None
        if options.address is None:
            check_fits(ready.study, session.cpus_available(), gpus)
            capacity.check_here(ready.study, nodes := roster.there())
        else:
            for note in capacity.check(ready.study, nodes := roster.there(), lambda: autoscaler.find(nodes)):
                recorder.observer.on_note(note)
            brings = capacity.able_to_come(ready.study, nodes, autoscaler.find(nodes, patience=0.0))
            cpus = capacity.cpus(capacity.able(ready.study, nodes), brings)
            ray_options = replace(ray_options, places=capacity.demand(cpus, brings))
        at_once = capacity.slots(ready.study, nodes, gpus, brings)
        asked = [method_resources(ready.study, name) for name in ready.study.methods]
        if gpus == 0 and any(one.gpu == "auto" and not one.waits_for_gpu for one in asked) and options.address:
            recorder.observer.on_note(
                "the cluster shows no GPU now: training on CPUs (set resources.gpu to wait for GPUs)"
            )
        calibration = Calibration(recorder.folder, cluster=options.address is not None)
        figures = calibration.figures_of
        shares = Shares(ready.study, gpus, scheduler.rows.values(), calibration.gpu_memory, figures)
        sizes = scheduler.sizes = PackSizes(ready.study, shares, calibration)

        def after(row: Done, gpu_memory: int | None) -> None:
            shares.observe(row)
            sizes.saw_gpu(gpu_memory)

        recorder.after = after
        opening.begin(recorder, at_once)

        def grow() -> int:
            if options.address is None:
                return 0
            nodes = roster.there()
            now = capacity.slots(ready.study, nodes, gpus, None)
            opening.widen({name: max(number, at_once[name]) for name, number in now.items()})
            scheduler.queue.slots = max(now.values())
            return len(capacity.able(ready.study, nodes))

        scheduler.queue.slots = max(at_once.values())
        grow()
        stop.arm()
        waits = "waiting for a training process with the CPUs and GPUs that the first trial asks for"
        if options.address is not None and capacity.busy(ready.study, roster.there(), roster.free()):
            waits = capacity.BUSY
        recorder.observer.on_wait(waits)
        longest = pulse.OWN_RAY if options.address is None else longest
        gone = pulse.watched(lambda why: _ray_is_gone(recorder, why), recorder.observer.on_note, longest)
        with gone, recorder.behind():
            cargo = load(shipment, ready.plan, ready.architecture, ready.defaults)
            sweep.run_sweep(scheduler, recorder, sizes, cargo, files, ray_options, stop, grow)


def _ray_is_gone(recorder: Recorder, why: str) -> None:
    """End at once: Ray's own clean-up would wait a minute for what is gone. What is written is whole at any moment."""
    recorder.observer.on_note(f"{why}; what is stored is whole")
    recorder.observer.close()
    _within(LAST_WORDS, lambda: _give_up(recorder))  # whoever comes next takes the claim of a dead process over
    print("finebench: interrupted; run the same command again to continue", file=sys.stderr, flush=True)
    os._exit(130)


def _give_up(recorder: Recorder) -> None:
    """Store what has ended, and let the folder go."""
    recorder.drain()
    if recorder.lock:
        recorder.lock.release()


def _within(seconds: float, call: Callable[[], None]) -> None:
    """Call, and go on after so many seconds whatever became of it: the same cable may lead to the results."""

    def tried() -> None:
        with suppress(ResultsError, OSError):
            call()

    trying = threading.Thread(target=tried, name="finebench-release", daemon=True)
    trying.start()
    trying.join(seconds)
