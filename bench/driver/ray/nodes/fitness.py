"""Which nodes of a cluster are left out of a run, because a worker there could not train."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from finebench.bench.driver.ray.nodes.asks import Ask
from finebench.bench.driver.ray.nodes.roster import Node, there
from finebench.bench.util.errors import InputError

LOOK_EVERY = 2.0
"""Seconds between looks at the nodes while nothing trains."""


class Fitness:
    """The nodes that a run leaves out, each told of once; `note` tells the user."""

    def __init__(self, note: Callable[[str], None], nodes: Callable[[], Sequence[Node]] = there) -> None:
        self._note, self._nodes = note, nodes
        self._out: dict[str, str] = {}
        self._were: dict[str, Node] = {}
        self._asked: dict[str, Ask] = {}
        self._next = 0.0

    @property
    def avoid(self) -> list[str]:
        """Ray's ids of the nodes that packs are not to be put on."""
        return sorted(self._out)

    def leave_out(self, node: str, why: str) -> None:
        """A worker on a node, by Ray's id, has said why it cannot train."""
        if node in self._out:
            return
        one = next((one for one in self._nodes() if one.id == node), None)
        if one is not None:
            self._were[node] = one
        name = one.name if one else node[:8]
        self._out[node] = f"{name}: {why}"
        self._next = 0.0
        self._note(f"node {name} is left out, its trials run elsewhere: {why}")

    def refuse(self, asked: Mapping[str, Ask]) -> None:
        """Raise InputError where each of the packs that wait, by what it asks of one node, would have room on a node
        that is left out and has none on any other. Nothing trains, or `asked` is empty.

        Between two calls Ray Tune asks for more packs, which may have room: only what both have stands.
        """
        stands, self._asked = asked == self._asked, dict(asked)
        if not (stands and asked and self._out) or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LOOK_EVERY
        fit = [one for one in self._nodes() if one.id not in self._out]
        if all(_room(one, self._were.values()) and not _room(one, fit) for one in asked.values()):
            raise InputError(
                f"no node of the cluster can train this study: {'; '.join(self._out.values())}. Install on each node "
                "what this command runs with, and run the same command again"
            )


def _room(asked: Ask, nodes: Collection[Node]) -> bool:
    """Whether one of these nodes has what is asked for."""
    return any(map(asked.fits, nodes))
