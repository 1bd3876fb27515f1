"""What is asked of Ray beside its public interface. Where a release does not have it, that is the answer."""

import importlib
from typing import Any


def part(module: str, *names: str) -> Any:
    """A module of Ray's, or what stands in it under these names, one inside the other; None where there is no such
    thing. What is no public interface may go in any release: it is looked up here, never imported by name."""
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        return None
    for name in names:
        found = getattr(found, name, None)
    return found


def written(key: str) -> bytes | None:
    """What a process of the connected cluster wrote down under a key; None where nothing is there, or nobody can
    tell."""
    store = "ray.experimental.internal_kv"
    connected, get = part(store, "_internal_kv_initialized"), part(store, "_internal_kv_get")
    return get(key) if connected and get and connected() else None


def has_second_monitor() -> bool:
    """Whether the monitor of the connected cluster is Ray's second one, which writes nothing down."""
    connected = part("ray.experimental.internal_kv", "_internal_kv_initialized")
    ask = part("ray.autoscaler.v2.utils", "is_autoscaler_v2")
    return bool(connected and ask and connected() and ask(fetch_from_server=True))


def free() -> dict[str, dict[str, float]]:
    """What nobody has of each node, by the node's id; empty where this Ray does not tell."""
    ask = part("ray._private.state", "available_resources_per_node")
    return ask() if ask else {}


NODES_AT = """
import json, sys
try:
    from ray._private import services, state
    known, options = state.GlobalState(), services._get_gcs_client_options
except (ImportError, AttributeError):
    known = None
print("ready", flush=True)
if known is not None:
    known._initialize_global_state(options(sys.argv[1]))
    found = [{key: node[key] for key in ("Alive", "NodeManagerHostname", "RayletSocketName")}
             for node in known.node_table()]
print(json.dumps(None if known is None else found))
"""
"""A program that prints the nodes of the cluster at an address, null where this Ray cannot be asked."""
