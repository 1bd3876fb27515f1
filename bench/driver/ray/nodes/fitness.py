"""Which nodes of a cluster are left out of a run, because a worker there could not train."""

from collections.abc import Callable, Sequence

from finebench.bench.driver.ray.nodes.roster import Node, there
from finebench.bench.util.errors import InputError


class Fitness:
    """The nodes that a run leaves out, each told of once; `note` tells the user."""

    def __init__(self, note: Callable[[str], None], nodes: Callable[[], Sequence[Node]] = there) -> None:
        self._note, self._nodes = note, nodes
        self._out: dict[str, str] = {}
        self.none_left = False
        """Whether every node that has CPUs is left out."""

    @property
    def avoid(self) -> list[str]:
        """Ray's ids of the nodes that packs are not to be put on."""
        return sorted(self._out)

    def leave_out(self, node: str, why: str) -> None:
        """A worker on a node, by Ray's id, has said why it cannot train."""
        nodes = self._nodes()
        if node not in self._out:
            name = next((one.name for one in nodes if one.id == node), node[:8])
            self._out[node] = f"{name}: {why}"
            self._note(f"node {name} is left out, its trials run elsewhere: {why}")
        self.none_left = all(one.id in self._out for one in nodes if one.cpus > 0)

    def refuse(self) -> None:
        """Raise InputError where no node is left to train on."""
        if self.none_left:
            raise InputError(
                f"no node of the cluster can train this study: {'; '.join(self._out.values())}. Install on each node "
                "what this command runs with, and run the same command again"
            )
