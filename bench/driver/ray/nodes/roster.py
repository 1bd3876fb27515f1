"""Which nodes the connected Ray has, and what each offers to trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ray

MOST_SHOWN = 6
"""Nodes that a message lists, at most."""


@dataclass(frozen=True)
class Node:
    """One node of a cluster: Ray's id of it, its host name and address; CPUs and GPUs that it has, or has free."""

    id: str
    name: str
    ip: str
    cpus: float
    gpus: float
    head: bool = False

    @property
    def shown(self) -> str:
        """The node and what it has, for people."""
        return f"{self.name} ({offer(self.cpus, self.gpus)})"


def offer(cpus: float, gpus: float) -> str:
    """So many CPUs and GPUs, in words: "4 CPUs, 1 GPU"."""
    said = [f"{cpus:g} CPU" if cpus == 1 else f"{cpus:g} CPUs"]
    return ", ".join(said + ([f"{gpus:g} GPU" if gpus == 1 else f"{gpus:g} GPUs"] if gpus else []))


def there() -> list[Node]:
    """The nodes that live. Raises what Ray raises where its control service does not answer."""
    return [_node(raw, raw["Resources"]) for raw in ray.nodes() if raw["Alive"]]


def free() -> list[Node]:
    """The same nodes with what of them nobody has; as they are where this Ray does not tell."""
    ask = getattr(ray._private.state, "available_resources_per_node", dict)
    now: dict[str, dict[str, float]] = ask()
    return [_node(raw, now.get(raw["NodeID"], raw["Resources"])) for raw in ray.nodes() if raw["Alive"]]


def _node(raw: dict[str, Any], offered: dict[str, float]) -> Node:
    head = "node:__internal_head__" in raw["Resources"]
    cpus, gpus = offered.get("CPU", 0.0), offered.get("GPU", 0.0)
    return Node(raw["NodeID"], raw["NodeManagerHostname"], raw["NodeManagerAddress"], cpus, gpus, head)


def listed(nodes: Sequence[Node]) -> str:
    """Nodes and what they have, the largest first, in words."""
    largest = sorted(nodes, key=lambda node: (-node.gpus, -node.cpus, node.name))
    more = f" and {len(nodes) - MOST_SHOWN} more" if len(nodes) > MOST_SHOWN else ""
    return ", ".join(node.shown for node in largest[:MOST_SHOWN]) + more
