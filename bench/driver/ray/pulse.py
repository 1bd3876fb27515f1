"""Whether the connected Ray lives, for as long as Ray itself would wait for it.

Ray waits for a control service that does not answer, for a minute where it is not told otherwise, and then ends this
process without a word. A run says that it waits, and ends itself a little before that, in good order.
"""

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import ray

from finebench.bench.driver.ray.nodes.address import knock
from finebench.bench.util.errors import InputError

QUIET = 10.0
"""Seconds without an answer after which the user is told; Ray can be slow under load."""
BEFORE_RAY = 5.0
"""Seconds before Ray would end this process at which the run ends itself."""
OWN_RAY = 30.0
"""Seconds for which a Ray of this run's own may not answer; of one that has ended the port is closed."""
HEAD_EVERY = 5.0
"""Seconds between connections to a control service that answers; one that does not is tried at every look."""
NODES_EVERY, ONCE_MORE = 10.0, 1.0
"""Seconds between questions for the nodes, which a head that was started anew has none of; and after such an answer."""


def patience() -> float:
    """Seconds for which a control service may not answer: what Ray is set to wait, less what an end takes. Raises
    InputError for what Ray could not read."""
    name = "RAY_gcs_rpc_server_reconnect_timeout_s"
    text = os.environ.get(name, "60")
    if not text.isdecimal():
        raise InputError(f"{name}={text!r}: a whole number of seconds is needed")
    return max(1.0, float(text) - BEFORE_RAY)


@dataclass(frozen=True)
class Pulse:
    """Where the connected Ray listens: its control service, and this node's own service, by host and port."""

    control: tuple[str, int]
    node: tuple[str, int]

    @classmethod
    def of_this_driver(cls) -> "Pulse":
        """The Ray that is connected now."""
        context = ray.get_runtime_context()
        host, _, port = context.gcs_address.rpartition(":")
        own = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
        return cls((host.strip("[]"), int(port)), (own["NodeManagerAddress"], own["NodeManagerPort"]))

    def dead(self) -> bool:
        """Whether this node's own service has certainly ended: its port is closed. A driver cannot outlive it for long:
        Ray ends the process without a word once the node is declared dead."""
        return isinstance(knock(*self.node), ConnectionRefusedError)

    def answers(self) -> bool:
        """Whether Ray answers and has a node; it may be slow to under load."""
        return not self.dead() and self.listens() and has_nodes()

    def listens(self) -> bool:
        """Whether the control service takes connections."""
        return knock(*self.control) is None

    @property
    def head(self) -> str:
        """The control service, for people."""
        return f"{self.control[0]}:{self.control[1]}"


def has_nodes() -> bool:
    """Whether the cluster has a node. A cable that is cut while this is asked holds the answer back for a minute."""
    try:
        return any(node["Alive"] for node in ray.nodes())
    except (ray.exceptions.RayError, RuntimeError, ConnectionError):  # asked while it went down
        return False


class _Nodes:
    """Asks for the nodes now and then, in threads of their own."""

    def __init__(self) -> None:
        self._asked, self._there = -math.inf, True
        self._asking: threading.Thread | None = None

    def there(self) -> bool:
        """What the last answer was; False while one is overdue."""
        now = time.monotonic()
        if self._asking is not None and self._asking.is_alive():
            return now < self._asked + QUIET and self._there
        if now >= self._asked + (NODES_EVERY if self._there else ONCE_MORE):
            self._asked = now
            self._asking = threading.Thread(target=self._ask, name="finebench-nodes", daemon=True)
            self._asking.start()
        return self._there

    def _ask(self) -> None:
        self._there = has_nodes()


@contextmanager
def watched(
    on_gone: Callable[[str], None], note: Callable[[str], None], longest: float, every: float = 1.0
) -> Iterator[None]:
    """Call `on_gone` with the reason, from a thread, once the connected Ray is gone: this node's part of it has ended
    (`ray stop`, a crash), or its head has not answered for `longest` seconds. `note` is told while it is waited for.
    """
    ended, pulse, nodes = threading.Event(), Pulse.of_this_driver(), _Nodes()

    def watch() -> None:
        heard, told, rests = time.monotonic(), False, -math.inf
        while not ended.wait(every):
            silent, gone = time.monotonic() - heard, ""
            if pulse.dead():
                gone = "Ray has stopped or crashed on this machine"
            elif time.monotonic() < rests:
                continue
            elif pulse.listens() and nodes.there():
                if told:
                    note(f"Ray's head ({pulse.head}) answers again")
                heard, told, rests = time.monotonic(), False, time.monotonic() + HEAD_EVERY
            else:
                what = f"Ray's head ({pulse.head}) has not answered for {silent:.0f} s"
                gone = f"Ray has stopped or crashed, or cannot be reached: {what}" if silent > longest else ""
                if not gone and silent > QUIET and not told:
                    told = True
                    note(f"{what}; it is waited for as long as Ray itself does, {longest:.0f} s")
            if gone and not ended.is_set():
                on_gone(gone)
                return

    threading.Thread(target=watch, name="finebench-ray", daemon=True).start()
    try:
        yield
    finally:
        ended.set()
