"""Whether a run can join the Ray at an address from this machine: asked before Ray itself tries, for minutes, and ends
the process where it fails.

A run is a driver of the cluster and speaks to the node on its own machine through a socket of that node's.
"""

import json
import os
import socket
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from finebench.bench.driver.ray.nodes.insides import NODES_AT, addresses_here, outward, session_folders
from finebench.bench.results.leftovers import signed
from finebench.bench.util import own_python
from finebench.bench.util.errors import InputError, plain

PATIENCE = 10.0
"""Seconds that a control service has to name its nodes; one under load takes one or two."""
IMPORTED_WITHIN = 60.0
"""Seconds that Ray may take to be imported."""
ALONE = "leave --address out for one of the run's own, or start one that several can join: ray start --head"
OWN = f"this is another run's own Ray, which nobody else joins; {ALONE}"
STACK = "*** StackTrace Information ***"
"""After which Ray, where it ends a process, writes where in its own code that was."""


def check(address: str) -> str:
    """The HOST:PORT at which a run from this machine joins the Ray at an address; raises InputError where none can,
    with the way that works.

    `auto` is the first of what Ray would look at that can be joined. Ray itself takes another run's own Ray too, and
    waits there for a quarter of an hour.
    """
    if address != "auto":
        refused = _refusal(address)
        if refused is not None:
            raise InputError(f"--address {address}: {refused}")
        return address
    found = addresses_here()
    if found is None:  # this Ray does not tell, and looks for itself
        return address
    reasons = {}
    for one in found:
        refused = _refusal(one)
        if refused is None:
            return one
        reasons[one] = refused
    if not reasons:
        raise InputError(f"--address auto: no Ray runs on this machine; {ALONE}")
    if set(reasons.values()) == {OWN}:
        raise InputError(f"--address auto: the only Ray here is another run's own, which nobody else joins; {ALONE}")
    raise InputError("--address auto: " + "; ".join(f"{one}: {why}" for one, why in reasons.items()))


def _refusal(address: str) -> str | None:
    """Why no run from this machine can join the Ray at an address, with the way that works; None where one can."""
    if address == "local":
        return "without an address a run starts a Ray of its own, out of others' reach: leave --address out"
    host, _, port = address.rpartition(":")
    if address.startswith("ray://"):
        host = address.removeprefix("ray://").rpartition(":")[0] or "HOST"
        return (
            "ray:// is for programs outside of a cluster, and a run is a part of one. On a node of the cluster: "
            f"--address {host}:6379, or --address auto"
        )
    if "://" in host or not host.strip("[]") or not port.isdecimal() or not 0 < int(port) < 2**16:
        return "the address of Ray's head is HOST:PORT, such as 10.0.0.1:6379, or auto"
    failed = knock(host.strip("[]"), int(port))
    if failed is not None:
        return f"no Ray cluster can be reached there: nothing answers ({failed})"
    if any(map(signed, session_folders(address))):
        return OWN
    nodes = _nodes(address)
    if isinstance(nodes, str):
        return (
            "no Ray cluster can be reached there: what answers is not the control service of Ray's head, which "
            "`ray start --head` names when it starts (port 6379 where none is asked for), or it takes no driver with "
            f"this Ray ({version('ray')}) and token (RAY_AUTH_MODE, RAY_AUTH_TOKEN){nodes and f': {nodes}'}"
        )
    if nodes is None:
        return None
    if not here(nodes):
        names = sorted(node["NodeManagerHostname"] for node in nodes if node["Alive"])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        return (
            "this machine is no node of that cluster, and a run needs one beside it. Run the same command on a node "
            f"({', '.join(names[:5]) or 'none lives now'}{more}), or make this machine one that trains nothing: "
            f"ray start --address={address} --num-cpus=0 --num-gpus=0"
        )
    at = outward(address)
    outside, _, port = at.rpartition(":")
    failed = None if at == address else knock(outside.strip("[]"), int(port))
    if failed is not None:
        return f"Ray joins it at {at}, and nothing answers there ({failed}): start it with ray start --head"
    return None


def here(nodes: Sequence[dict[str, Any]]) -> bool:
    """Whether one of the nodes, as Ray tells of them, is on this machine."""
    return any(node["Alive"] and os.path.exists(node["RayletSocketName"]) for node in nodes)


def knock(host: str, port: int) -> OSError | UnicodeError | None:
    """What keeps us from connecting; None where something listens."""
    try:
        socket.create_connection((host, port), timeout=2.0).close()
    except (OSError, UnicodeError) as error:  # the latter for what can be no host's name
        return error
    return None


def _nodes(address: str) -> list[dict[str, Any]] | str | None:
    """The nodes of the cluster whose control service is at an address; where it does not say, the last that Ray wrote
    about it, empty where that is nothing; None where this Ray cannot be asked.

    Asked in a process of its own, since Ray ends the one that asks what is not Ray."""
    command, pipe = own_python.run_code(NODES_AT, address), subprocess.PIPE
    environment = own_python.environment()
    with (
        tempfile.TemporaryFile("w+", errors="replace") as said,  # a pipe that nobody reads would fill
        subprocess.Popen(command, stdout=pipe, stderr=said, text=True, env=environment) as asking,
    ):
        assert asking.stdout is not None
        answers = []
        for patience in (IMPORTED_WITHIN, PATIENCE):
            clock = threading.Timer(patience, asking.kill)
            clock.start()
            answers.append(asking.stdout.readline())
            clock.cancel()
        asking.kill()
        asking.wait()
        if answers[1].endswith(("]\n", "null\n")):
            found: list[dict[str, Any]] | None = json.loads(answers[1])
            return found
        said.seek(0)
        return reason(said.read())


def reason(said: str) -> str:
    """The last line of what a process wrote that ended, without Ray's own remarks and its stack of C++; empty where it
    wrote nothing."""
    lines = [line for line in said.partition(STACK)[0].splitlines() if line.strip()]
    return plain(lines[-1].rpartition("Check failed: ")[2], 400) if lines else ""
