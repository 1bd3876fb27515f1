"""Runs a study in this process, without Ray: `--debug`, tests, and the floor that benchmarks compare with."""

from collections.abc import Callable, Mapping
from contextlib import closing

from finebench.bench.scheduling.recorder import Recorder
from finebench.bench.scheduling.retries import Retries
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.load import method_resources
from finebench.bench.study.parts.training import Resources
from finebench.bench.study.schema import Study
from finebench.bench.training.worker.messages import Pack, Share
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.worker_cache import WorkerCache, gpu_count, has_gpu
from finebench.bench.util.errors import StudyError
from finebench.bench.util.signals import Stop


def own_share(resources: Resources, gpu: bool) -> Share:
    """What a trial alone on its machine gets: the CPUs it asks for and, with a `gpu` there, all of it unless it asks
    for none."""
    return Share(resources.cpu, 1.0 if gpu and resources.gpu != 0 else 0.0)


def shares_here(study: Study) -> dict[str, Share]:
    """Each method's share of this machine; raises StudyError where one asks for a GPU that is not there."""
    asked, gpu = {name: method_resources(study, name) for name in study.methods}, has_gpu()
    for name, resources in asked.items():
        if gpu and resources.gpu != 0 and resources.number > gpu_count():
            raise StudyError(
                f"method {name!r} asks for {resources.number} ranks with a GPU each, and this machine has "
                f"{gpu_count()}; --set resources.gpu=0 trains them on CPUs"
            )
        if not gpu and resources.waits_for_gpu:
            typed = "" if resources.accelerator is None else f" {resources.accelerator}"
            raise StudyError(
                f"method {name!r} asks for gpu: {resources.gpus(0) * resources.number:g}{typed}, and --debug runs on "
                "this machine, where torch sees none (finebench doctor says why); --set resources.gpu=auto takes a GPU "
                "only where there is one"
            )
    return {name: own_share(resources, gpu) for name, resources in asked.items()}


def unplaced(study: Study) -> list[str]:
    """A note where a study says which nodes its trials run on: here there are none to choose from."""
    if not any(asked.beside or asked.labels for asked in (method_resources(study, name) for name in study.methods)):
        return []
    return ["--debug runs every trial on this machine, whatever accelerator, memory, custom or labels say"]


def run_in_process(
    scheduler: Scheduler,
    recorder: Recorder,
    cache: WorkerCache,
    shares: Mapping[str, Share],
    rate: Callable[[Pack], float | None],
    stop: Stop,
) -> None:
    """Train every pack, one after the other, each on the share of its method; `rate` gives a seconds budget's
    calibration, and may measure it on the cache.

    Raises KeyboardInterrupt where it is told to stop; the pack in flight has a checkpoint then. Raises DeviceLost where
    a trial has taken this process's GPU with it.
    """
    with closing(cache):
        cache.watch.asked = lambda: stop.requested
        again = Retries()
        while not stop.requested and (pack := again.next() or scheduler.next_pack()) is not None:
            recorder.observer.on_start(pack)
            cache.take(shares[pack.trials[0].method])
            run = PackRun(cache, pack, rate(pack))
            pruned = False
            while not pruned and (rung := run.advance()) is not None:
                pruned = pack.rungs and scheduler.on_rung(pack, rung.index, rung.value)
                if not pack.searches:
                    recorder.store(pack, again.settle(pack, run.ended()))
                recorder.observer.tick()
            while run.stopped and run.advance() is not None:
                pass  # the other members write their checkpoints too
            recorder.pass_on(run.notes())
            if not pack.searches:
                recorder.store(pack, again.settle(pack, run.ended()))
            elif not run.stopped and run.lost is None:
                recorder.store(pack, run.records(pruned=pruned))
            run.close()
            run.check_device()
        if stop.requested:
            raise KeyboardInterrupt
