"""A Ray of our own: bound to localhost, with the services that a sweep on one machine uses, and no others.

Ray (up to 2.60 at least) also starts a monitor for its autoscaler, another for log files, and the API server of its
dashboard, also where there is to be none; and idle workers that Ray Tune's, which have an environment of their own,
never use. Nothing here asks them anything, and together they make a short run several seconds longer. Ray has no option
to leave them out, so parts of it are replaced while it starts. One that a later Ray does not have is left alone, and
Ray starts with what it brings. To have the dashboard, start Ray with `ray start --head` and give its address.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from finebench.bench.driver.ray.ray_parts import needed, part
from finebench.bench.util.places import home, writable
from finebench.bench.util.signals import no_hangup

Node, services, state, utils = (
    part(f"ray._private.{name}", *names) for name, *names in (("node", "Node"), ("services",), ("state",), ("utils",))
)

MONITORS = ("start_monitor", "start_log_monitor")
"""Methods of Ray's Node that start what is left out."""
API_SERVER = "start_api_server"
"""The same, where `ray[default]` is not installed: with it, each node's agent asks for this server all the time."""

_NO_IDLE_WORKERS = ("RAY_prestart_worker_first_driver", "0")  # read by Ray's node when it starts
_REGISTERED_WITHIN = 5.0


def start(meanwhile: Callable[[], object], **options: Any) -> None:
    """`ray.init` with these options; `meanwhile` is called while Ray's node starts, which takes about half a second,
    and is the caller's to call again: what it raises there is passed over.

    Raises what ray.init raises: a bare Exception where its services do not start in time.
    """
    _bring_token()
    with no_hangup(), loopback(), _environment(*_NO_IDLE_WORKERS), ExitStack() as replaced:
        for name in left_out():
            replaced.enter_context(_replaced(Node, name, _leave_out))
        if hasattr(services, "get_node"):
            find = _found_at_once(services.get_node, meanwhile)
            replaced.enter_context(_replaced(services, "get_node", find))
        context: Any = ray.init(address="local", include_dashboard=False, **options)
    _folders[:] = [Path(context.address_info["session_dir"])]


_folders: list[Path] = []


def session_folder() -> Path | None:
    """Where the Ray that was last started here keeps its files.

    Ray would say it in answer to a second ray.init, which puts Ray's signal handler in place of ours.
    """
    return next(iter(_folders), None)


def _bring_token() -> None:
    """Let Ray have a secret for its connections where it cannot keep one in the user's home: for this process and those
    that it starts, until they end."""
    given = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"))
    try:
        kept = writable(home() / ".ray" / "auth_token") or (home() / ".ray" / "auth_token").exists()
    except FileNotFoundError:
        kept = False
    if not given and not kept:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def left_out() -> tuple[str, ...]:
    """Methods of Ray's Node that have nothing to start here."""
    missing = getattr(utils, "get_dashboard_dependency_error", lambda: None)()
    return MONITORS if missing is None else (*MONITORS, API_SERVER)


@contextmanager
def loopback() -> Iterator[None]:
    """Let Ray take the loopback address as this node's, so that its servers listen there and nowhere else.

    Ray does so by itself on macOS and Windows; on Linux it takes the outward address, also where 127.0.0.1 is asked
    for. Raises InputError where this Ray cannot be told.
    """
    module = "ray._private.ray_constants"
    needed(module, "ENABLE_RAY_CLUSTER", why="by which it is kept on this machine, out of others' reach")
    with _replaced(part(module), "ENABLE_RAY_CLUSTER", False):
        yield


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
    known = state.GlobalState()
    known._initialize_global_state(services._get_gcs_client_options(gcs_address))
    until = time.monotonic() + _REGISTERED_WITHIN
    while time.monotonic() < until and not any(node["NodeID"] == node_id for node in known.node_table()):
        time.sleep(0.02)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable that is not set, for the length of the block."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


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
