"""Everything that finebench does inside Ray, beside its public interface, and what each of it is worth. What it only
asks there stands in nodes/insides.py.

Ray works without: what its release does not have is left alone, and `FINEBENCH_PLAIN_RAY=1` leaves all of it alone
(`FINEBENCH_PLAIN_RAY=services,end` those two); the results are the same to the last bit. `loopback` alone cannot be
switched off: without it others could reach the Ray that a run starts.

    services      no monitors, no dashboard server         start-up
    idle-workers  no workers that Ray Tune never uses      start-up
    node          Ray's node is found once it is there     start-up
    end           Ray Tune's loop is left at the end       a while per trial, after the last one
    metadata      a finished trial's statistics are dropped  the driver's memory
    losses        a worker lost for memory is one trial's end, and not the run's
    hung          a worker that hangs can be killed
    prepared      a trial is ready for a kept worker      the run, where trials ask for different resources
    messages      Ray's messages stay out of the terminal  27 lines of its state, twice for each raylet that dies

The last four are there for what they do. Of the others `python -m tests.benchmarks.workarounds` measures the gain;
docs/operations/performance.md has it.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from finebench.bench.driver.ray.nodes.insides import part
from finebench.bench.util.errors import InputError, choose

TESTED = "2.55 to 2.60"
"""Releases of Ray that have all of it: the ends are what `make test-bounds` runs with."""

SWITCH = "FINEBENCH_PLAIN_RAY"
NAMES = ("services", "idle-workers", "node", "end", "metadata", "losses", "hung", "prepared", "messages")

MONITORS = ("start_monitor", "start_log_monitor")
"""Methods of Ray's Node that start what no sweep asks anything: the autoscaler's monitor, and that of log files."""
API_SERVER = "start_api_server"
"""The dashboard's, where `ray[default]` is not installed: with it, each node's agent asks for this server all the
time."""
NO_IDLE_WORKERS = "RAY_prestart_worker_first_driver"
"""Read by Ray's node when it starts. Ray Tune's workers have an environment of their own, and are other ones."""
_REGISTERED_WITHIN = 5.0


def used(name: str) -> bool:
    """Whether a workaround is on; raises InputError where FINEBENCH_PLAIN_RAY names one that there is not."""
    off = [one for one in os.environ.get(SWITCH, "").split(",") if one]
    for one in off:
        if one not in (*NAMES, "1"):
            raise InputError(f"{SWITCH}: {choose('workaround', one, ['1', *NAMES])}")
    return name not in off and "1" not in off


@contextmanager
def loopback() -> Iterator[None]:
    """Let Ray take the loopback address as this node's, so that its servers listen there and nowhere else.

    Ray does so by itself on macOS and Windows; on Linux it takes the outward address, also where 127.0.0.1 is asked
    for. Raises InputError where this Ray cannot be told.
    """
    constants = part("ray._private.ray_constants")
    if not hasattr(constants, "ENABLE_RAY_CLUSTER"):
        raise InputError(
            f"Ray {ray.__version__} has no ray._private.ray_constants.ENABLE_RAY_CLUSTER, by which it is kept on this "
            f"machine, out of others' reach; finebench is tested with Ray {TESTED}: install one of these, or run "
            "without Ray with --debug"
        )
    with _replaced(constants, "ENABLE_RAY_CLUSTER", False):
        yield


@contextmanager
def quick_start(meanwhile: Callable[[], object]) -> Iterator[None]:
    """Let a Ray that is started in the block come up without what a sweep does not use, and be found once it is there.

    `meanwhile` is called while Ray's node starts, which takes about half a second, and is the caller's to call again:
    what it raises there is passed over.
    """
    services = part("ray._private.services")
    with ExitStack() as replaced:
        for name in left_out() if used("services") else ():
            replaced.enter_context(_replaced(part("ray._private.node", "Node"), name, _leave_out))
        if used("idle-workers") and NO_IDLE_WORKERS not in os.environ:
            replaced.enter_context(environment(NO_IDLE_WORKERS, "0"))
        if used("node") and hasattr(services, "get_node"):
            find = _found_at_once(services.get_node, meanwhile)
            replaced.enter_context(_replaced(services, "get_node", find))
        yield


def left_out() -> tuple[str, ...]:
    """Methods of Ray's Node that have nothing to start here."""
    ask = part("ray._private.utils", "get_dashboard_dependency_error")
    return MONITORS if ask is None or ask() is None else (*MONITORS, API_SERVER)


def _leave_out(self: Any, **options: Any) -> None:
    """In place of a method that starts a service."""


def _found_at_once(ask: Callable[..., Any], meanwhile: Callable[[], object]) -> Callable[..., Any]:
    """Ray's question for its node, put once the node is there: Ray itself would ask again after a whole second."""

    def get_node(gcs_address: str, node_id: str) -> Any:
        with suppress(Exception):  # it is called again where its errors can be said
            meanwhile()
        with suppress(Exception):  # whatever keeps us from looking, Ray's own question comes next, and says it
            _wait_for(gcs_address, node_id)
        return ask(gcs_address, node_id)

    return get_node


def _wait_for(gcs_address: str, node_id: str) -> None:
    known = part("ray._private.state", "GlobalState")()
    known._initialize_global_state(part("ray._private.services", "_get_gcs_client_options")(gcs_address))
    until = time.monotonic() + _REGISTERED_WITHIN
    while time.monotonic() < until and not any(node["NodeID"] == node_id for node in known.node_table()):
        time.sleep(0.02)


class AllDone(Exception):
    """All that there was to run has ended."""


def leave() -> None:
    """Raise AllDone out of Ray Tune's loop, which would else write down and read back every trial before it returns
    what nobody asks for. Without it the searcher's FINISHED ends the loop."""
    if used("end"):
        raise AllDone


def forget(trial: Any) -> None:
    """Empty what Ray Tune would keep of a finished trial until the end: statistics of each metric over time, which
    nothing of ours reads and which take most of what a trial costs the driver; and, where it stays empty, a folder."""
    with suppress(OSError):
        os.rmdir(getattr(trial, "local_path", None) or "")
    for name in ("metric_analysis", "metric_n_steps") if used("metadata") else ():
        getattr(getattr(trial, "run_metadata", None), name, {}).clear()


def prepare(trial: Any) -> None:
    """Let a trial have the name of its folder as soon as it is there.

    Where trials ask for different resources, Ray Tune (up to 2.60 at least) hands a kept worker to one that it has not
    prepared yet; the worker then fails for want of that name, which ends the whole experiment.
    """
    name = getattr(trial, "init_local_path", None)
    if used("prepared") and name is not None:
        name()


def actor_of(trial: Any) -> Any:
    """The worker that has a trial of Ray Tune's, to be killed where it hangs; None where this Ray does not say."""
    return getattr(getattr(trial, "temporary_state", None), "ray_actor", None) if used("hung") else None


@contextmanager
def messages_untold() -> Iterator[None]:
    """Keep what Ray's services publish to all drivers out of this one's output, for the length of the block.

    A thread of Ray's prints it, whatever `log_to_driver` and the loggers' levels are: that a node is lost, and from
    each of its agents the last lines that its raylet logged. The run tells of lost nodes itself; Ray's logs have all.
    """
    worker = part("ray._private.worker")
    if not used("messages"):
        yield
        return
    with _replaced(worker, "print_to_stdstream", _leave_out_message):
        yield


def _leave_out_message(data: Any, **options: Any) -> None:
    """In place of what prints a message."""


@contextmanager
def losses_are_outcomes() -> Iterator[None]:
    """Let whatever Ray says of a lost worker be an error of its trial, in experiments that begin here.

    Ray Tune's keeper of workers (up to 2.60 at least) knows the errors of an actor and of its code. For any other, such
    as the memory monitor's OutOfMemoryError, it raises, which ends the whole experiment with all of its trials.
    """
    controller = part("ray.tune.execution.tune_controller")  # which makes a keeper for each experiment
    keeper = getattr(controller, "RayActorManager", None)
    if not used("losses") or not hasattr(keeper, "_actor_task_failed"):
        yield
        return
    with _replaced(controller, "RayActorManager", _patient(keeper)):
        yield


def _patient(keeper: Any) -> Any:
    """Ray's keeper of workers, made to take every error of Ray's for the loss of the worker."""

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, RayError) and not isinstance(exception, RayActorError | RayTaskError):
            exception = RayActorError(error_msg=f"{type(exception).__name__}: {exception}")
        keeper._actor_task_failed(self, tracked_actor_task, exception)

    return type("PatientActorManager", (keeper,), {"_actor_task_failed": failed})


@contextmanager
def environment(name: str, value: str | None) -> Iterator[None]:
    """Set a variable, or unset it, for the length of the block."""
    before = os.environ.pop(name, None)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Set an attribute that is there, for the length of the block."""
    if not hasattr(owner, name):
        yield
        return
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
