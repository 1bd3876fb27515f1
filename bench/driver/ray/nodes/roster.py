"""Which nodes the connected Ray has, and what each offers to trials."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray

from finebench.bench.driver.ray.nodes import insides
from finebench.bench.driver.ray.nodes.asks import Ask

MOST_SHOWN = 6
"""Nodes that a message lists, at most."""


@dataclass(frozen=True)
class Node:
    """One node of a cluster: Ray's id of it, its host name and address; CPUs, GPUs and other resources that it has, or
    has free; its labels."""

    id: str
    name: str
    ip: str
    cpus: float
    gpus: float
    head: bool = False
    others: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


def there() -> list[Node]:
    """The nodes that live. Raises what Ray raises where its control service does not answer."""
    return [_node(raw, raw["Resources"]) for raw in ray.nodes() if raw["Alive"]]


def free() -> list[Node]:
    """The same nodes with what of them nobody has; as they are where this Ray does not tell."""
    now = insides.free()
    return [_node(raw, now.get(raw["NodeID"], raw["Resources"])) for raw in ray.nodes() if raw["Alive"]]


def _node(raw: dict[str, Any], offered: dict[str, float]) -> Node:
    head = "node:__internal_head__" in raw["Resources"]
    named = raw["NodeID"], raw["NodeManagerHostname"], raw["NodeManagerAddress"]
    others = {name: amount for name, amount in offered.items() if name not in ("CPU", "GPU")}
    return Node(*named, offered.get("CPU", 0.0), offered.get("GPU", 0.0), head, others, raw.get("Labels") or {})


def listed(nodes: Sequence[Node], ask: Ask) -> str:
    """Nodes and what they have of what is asked for, the largest first, in words."""
    largest = sorted(nodes, key=lambda node: (-node.gpus, -node.cpus, node.name))
    more = f" and {len(nodes) - MOST_SHOWN} more" if len(nodes) > MOST_SHOWN else ""
    return ", ".join(f"{node.name} ({ask.there(node)})" for node in largest[:MOST_SHOWN]) + more
