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

from finebench.bench.driver.ray.nodes.insides import NODES_AT
from finebench.bench.util import own_python
from finebench.bench.util.errors import InputError, plain

PATIENCE = 10.0
"""Seconds that a control service has to name its nodes; one under load takes one or two."""
IMPORTED_WITHIN = 60.0
"""Seconds that Ray may take to be imported."""
STACK = "*** StackTrace Information ***"
"""After which Ray, where it ends a process, writes where in its own code that was."""


def check(address: str) -> None:
    """Raise InputError where no run from this machine can join the Ray at an address, with the way that works.

    `auto` is left to Ray, which looks for a node on this machine.
    """
    if address.startswith("ray://"):
        host = address.removeprefix("ray://").rpartition(":")[0] or "HOST"
        raise InputError(
            f"--address {address}: ray:// is for programs outside of a cluster, and a run is a part of one. On a node "
            f"of the cluster: --address {host}:6379, or --address auto"
        )
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    failed = knock(host.strip("[]"), int(port))
    if failed is not None:
        raise InputError(f"--address {address}: no Ray cluster can be reached there: nothing answers ({failed})")
    nodes = _nodes(f"{host}:{port}")
    if nodes is None:
        return
    if isinstance(nodes, str):
        raise InputError(
            f"--address {address}: no Ray cluster can be reached there: what answers is not the control service of "
            "Ray's head, which `ray start --head` names when it starts (port 6379 where none is asked for), or it "
            f"takes no driver with this Ray ({version('ray')}) and token (RAY_AUTH_MODE, RAY_AUTH_TOKEN)"
            + (f": {nodes}" if nodes else "")
        )
    if not here(nodes):
        names = sorted(node["NodeManagerHostname"] for node in nodes if node["Alive"])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise InputError(
            f"--address {address}: this machine is no node of that cluster, and a run needs one beside it. Run the "
            f"same command on a node ({', '.join(names[:5]) or 'none lives now'}{more}), or make this machine one that "
            f"trains nothing: ray start --address={host}:{port} --num-cpus=0 --num-gpus=0"
        )


def here(nodes: Sequence[dict[str, Any]]) -> bool:
    """Whether one of the nodes, as Ray tells of them, is on this machine."""
    return any(node["Alive"] and os.path.exists(node["RayletSocketName"]) for node in nodes)


def knock(host: str, port: int) -> OSError | None:
    """What keeps us from connecting; None where something listens."""
    try:
        socket.create_connection((host, port), timeout=2.0).close()
    except OSError as error:
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
