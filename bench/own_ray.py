"""A Ray of our own: bound to localhost, with the services that a sweep on one machine uses, and no others.

Ray (up to 2.60 at least) also starts a monitor for its autoscaler, another for log files, and the API server of its
dashboard, also where there is to be none; and idle workers that Ray Tune's, which have an environment of their own,
never use. Nothing here asks them anything, and together they make a short run several seconds longer. Ray has no option
to leave them out, so parts of it are replaced while it starts; what a later Ray does not have is left alone, and it
starts whole. To have the dashboard, start Ray with `ray start --head` and give its address.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray._private import ray_constants, services, state
from ray._private.node import Node

LEFT_OUT = ("start_monitor", "start_log_monitor", "start_api_server")
"""Methods of Ray's Node that start what is left out."""

_NO_IDLE_WORKERS = {"prestart_worker_first_driver": False}
_REGISTERED_WITHIN = 30.0


def start(meanwhile: Callable[[], object], **options: Any) -> None:
    """`ray.init` with these options; `meanwhile` is called while Ray's node starts, which takes about half a second.

    Raises what ray.init raises: a bare Exception where its services do not start in time.
    """
    with loopback(), ExitStack() as replaced:
        for name in LEFT_OUT:
            replaced.enter_context(_replaced(Node, name, _leave_out))
        if hasattr(services, "get_node"):
            find = _found_at_once(services.get_node, meanwhile)
            replaced.enter_context(_replaced(services, "get_node", find))
        ray.init(address="local", include_dashboard=False, _system_config=_NO_IDLE_WORKERS, **options)


@contextmanager
def loopback() -> Iterator[None]:
    """Let Ray take the loopback address as this node's, so that its servers listen there and nowhere else.

    Ray does so by itself on macOS and Windows; on Linux it takes the outward address, also where 127.0.0.1 is asked
    for.
    """
    with _replaced(ray_constants, "ENABLE_RAY_CLUSTER", False):
        yield


def _leave_out(self: Node, **options: Any) -> None:
    """In place of a method that starts a service."""


def _found_at_once(ask: Callable[..., Any], meanwhile: Callable[[], object]) -> Callable[..., Any]:
    """Ray's question for its node, put once the node is there: Ray itself would ask again after a whole second."""

    def get_node(gcs_address: str, node_id: str) -> Any:
        meanwhile()
        known = state.GlobalState()
        known._initialize_global_state(services._get_gcs_client_options(gcs_address))
        until = time.monotonic() + _REGISTERED_WITHIN
        while time.monotonic() < until and not any(node["NodeID"] == node_id for node in known.node_table()):
            time.sleep(0.02)
        return ask(gcs_address, node_id)

    return get_node


@contextmanager
def _replaced(owner: Any, name: str, value: object) -> Iterator[None]:
    """Set an attribute that is there for the length of the block."""
    if not hasattr(owner, name):
        yield
        return
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)
