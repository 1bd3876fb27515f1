"""What is asked of Ray beside its public interface. Where a release does not have it, that is the answer."""

import importlib
import os
import re
from pathlib import Path
from typing import Any

_SESSION = re.compile(r"--[\w-]+=(/.*/session_[^/]+)(/.*)?")
"""An option of a process of Ray's that names a place in its session's folder."""


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


def addresses_here() -> list[str] | None:
    """Where `auto` leads, as Ray looks for it: RAY_ADDRESS alone where it is set, else the last `ray start` of this
    machine, then the clusters of its other nodes, with a token where there is one; None where this Ray does not tell.
    """
    given = os.environ.get("RAY_ADDRESS", "")
    if given not in ("", "auto"):
        return [given]
    bring_token()
    services = "ray._private.services"
    last, running = part(services, "find_bootstrap_address"), part(services, "find_gcs_addresses")
    if last is None or running is None:
        return None
    return list(dict.fromkeys(one for one in (last(None), *sorted(running())) if one))


def session_folders(address: str) -> set[Path]:
    """Where the processes of this machine keep their files that serve the cluster at an address; none where this Ray
    does not tell."""
    listed = part("ray._private.services", "psutil", "process_iter")
    commands = [process.info["cmdline"] or () for process in (listed(["cmdline"]) if listed else ())]
    serving = [command for command in commands if f"--gcs-address={address}" in command]
    return {Path(match[1]) for command in serving for match in map(_SESSION.match, command) if match}


def bring_token() -> None:
    """Let this process and its children show a token where there is one, as Ray does where it finds a cluster by
    itself."""
    setup = "ray._private.authentication.authentication_token_setup"
    tokens, enable = part(setup, "AuthenticationTokenLoader"), part(setup, "_enable_token_auth")
    if tokens and enable and "RAY_AUTH_MODE" not in os.environ and tokens.instance().has_token(ignore_auth_mode=True):
        enable()


def outward(address: str) -> str:
    """The address that Ray itself takes for one: it goes to this machine's outward one in place of localhost."""
    ask = part("ray._private.services", "canonicalize_bootstrap_address")
    return str(ask(address)) if ask else address


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
