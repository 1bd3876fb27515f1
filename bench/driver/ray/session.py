"""The Ray that a run uses: started here, quietly and on localhost, or joined at an address."""

import importlib
import logging
import os
import signal
import sys
import threading
import time
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
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from finebench.bench.driver.ray import local_ray, workarounds, worker_start
from finebench.bench.driver.ray.nodes import address as joining
from finebench.bench.study.precision import PATIENCE, Gpus, gpus_of_node
from finebench.bench.util.cores import slots
from finebench.bench.util.errors import InputError
from finebench.bench.util.quick_imports import uncollected


@dataclass(frozen=True)
class RayOptions:
    """How to reach or start Ray; `places` are packs for which an autoscaler may come to have nodes."""

    address: str | None = None
    retries: int = 2
    places: float = 0.0


_sessions: list[RayOptions] = []
"""Of this process, each within the one before."""


@contextmanager
def ray_session(options: RayOptions, cpus: int | None = None) -> Iterator[None]:
    """Start Ray here, quietly and bound to localhost, or join the cluster at `options.address`; shut down at the end.

    Without an address a Ray of our own is started also where another one runs, which Ray would otherwise join. It is
    given `cpus`, by default those that this process may use: Ray itself would count all of the host's under an affinity
    or, under a quota of half a one, none. Ray Tune is imported by the time the block begins. Within another session's
    block it is that one's Ray; raises InputError where this process is connected to one that is not of finebench's.
    """
    started_here = not ray.is_initialized()
    if not started_here and not _sessions:
        raise InputError(
            "this process is connected to a Ray already, of which finebench knows nothing: call ray.shutdown() first; "
            "a cluster is joined with its address (--address, address=)"
        )
    with workarounds.messages_untold():
        yield from _session(options, started_here, cpus)


def _session(options: RayOptions, started_here: bool, cpus: int | None) -> Iterator[None]:
    if started_here:
        common: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": True}
        common["runtime_env"] = {"worker_process_setup_hook": worker_start.HOOK}
        with _kept_sigterm():
            if options.address is None:
                _start(num_cpus=cpus or slots(), **common)
            else:
                _join(options.address, **common)
    _sessions.append(options)
    try:
        import_tune()
        yield
    finally:
        _sessions.pop()
        if started_here:
            ray.shutdown()


@contextmanager
def _kept_sigterm() -> Iterator[None]:
    """Keep this process's own answer to SIGTERM: Ray puts one in its place by which the process ends without a word."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit as ended:
        if ended.code == signal.SIGTERM:  # Ray's answer, while it starts
            raise KeyboardInterrupt from ended
        raise
    finally:
        if before is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def import_tune() -> None:
    """Import Ray Tune, which takes long enough to be done while Ray starts."""
    if "ray.tune" in sys.modules:
        return
    with uncollected():
        importlib.import_module("ray.tune")


def _start(**options: Any) -> None:
    """Start a Ray of our own; raises InputError where it does not come up."""
    try:
        local_ray.start(import_tune, **options)
    except InputError:
        raise
    except Exception as error:  # Ray says with a bare Exception that its services did not start in time
        if isinstance(error, OSError) and error.filename:
            raise InputError(
                f"Ray cannot be started on this machine: {error.filename}: {error.strerror}; --debug runs a study "
                "without Ray, trial after trial"
            ) from error
        raise InputError(
            f"Ray cannot be started on this machine: {' '.join(str(error).split())}. Is it short of memory, of disk "
            "or of idle cores? `finebench doctor` checks it; --debug runs a study without Ray, trial after trial"
        ) from error


def _join(address: str, **options: Any) -> None:
    """Join the cluster at an address; raises InputError where there is none."""
    at = joining.check(address)
    try:
        ray.init(address=at, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(f"--address {address}: no Ray cluster can be reached there: {error}") from error


def gpus_at(address: str, note: Callable[[str], None]) -> list[Gpus]:
    """What the GPUs of each node of the Ray at an address can do, asked there; a node that does not say is passed over
    with a note. Raises InputError where none says."""
    with ray_session(RayOptions(address)):
        return _gpus_of_nodes(note)


def _gpus_of_nodes(note: Callable[[str], None]) -> list[Gpus]:
    ask = ray.remote(num_cpus=0, max_retries=0)(gpus_of_node)
    nodes = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("GPU", 0) > 0]
    there = [NodeAffinitySchedulingStrategy(node["NodeID"], soft=False) for node in nodes]
    answers = [ask.options(scheduling_strategy=one).remote() for one in there]
    until = time.monotonic() + 2 * PATIENCE
    found, silent = [], []
    for node, answer in zip(nodes, answers, strict=True):
        try:
            found.append(ray.get(answer, timeout=max(1.0, until - time.monotonic())))
        except ray.exceptions.RayError as error:  # it is proved again, and left out, where a trial is to run there
            why = " ".join(str(getattr(error, "cause", None) or error).split())[:400]
            silent.append(f"{node['NodeManagerHostname']}: {why}")
    if silent and not found:
        raise InputError(
            f"training.precision: auto is what the cluster's GPUs can do, and no node says: {'; '.join(silent)}. "
            "--set training.precision=fp32 or --set training.precision=bf16 decides it"
        )
    for one in silent:
        note(f"precision auto is decided without a node that does not say what its GPUs can do: {one}")
    return found


def cpus_available() -> float:
    """CPUs that the connected Ray has now."""
    return float(ray.cluster_resources().get("CPU", 0.0))


def gpus_available() -> float:
    """GPUs that the connected Ray has now."""
    return float(ray.cluster_resources().get("GPU", 0.0))
