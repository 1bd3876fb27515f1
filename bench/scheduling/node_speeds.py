"""Which node of a cluster is clearly slower than the others, by finished trials of the same cell and shape."""

from collections import defaultdict, deque
from collections.abc import Mapping
from statistics import median
from typing import Any, NamedTuple

from finebench.bench.scheduling.first_seeds import Stand, shape

LEAST = 5
"""Trials of a node that others can be compared with, below which nothing is said of it."""
CLEARLY = 1.25
"""Times as long as elsewhere that a step takes on a node that is called slow, in the median."""
MOSTLY = 0.8
"""Share of a slow node's trials, at least, that took longer than elsewhere."""
KEPT = 20
"""Trials of a node, cell and shape that are looked at: the latest."""


class Slow(NamedTuple):
    """A node by its host name, and how many times as long a step takes there."""

    node: str
    times: float

    @property
    def words(self) -> str:
        """For people."""
        return f"slowest node {self.node}: a step takes {self.times:.1f} times as long as elsewhere"


class NodeSpeeds:
    """Seconds of a step by cell and shape and node; fed with rows. Times of packs are not known, and say nothing."""

    def __init__(self) -> None:
        self._seconds: defaultdict[Stand, dict[str, deque[float]]] = defaultdict(dict)
        self._changed = False
        self._slowest: Slow | None = None

    def observe(self, row: Mapping[str, Any]) -> None:
        """Take in a finished trial's row."""
        if row["status"] != "ok" or not row["train_seconds"] or not row["steps"]:
            return
        cell = (row["task"], row["method"], row["fraction"], row["budget"])
        nodes = self._seconds[cell, shape(row["method"], row["hyperparameters"])]
        nodes.setdefault(row["hostname"], deque(maxlen=KEPT)).append(row["train_seconds"] / row["steps"])
        self._changed = True

    def slowest(self) -> Slow | None:
        """The slowest node, where one is clearly slower than the others."""
        if self._changed:
            self._changed, self._slowest = False, self._find()
        return self._slowest

    def _find(self) -> Slow | None:
        times: defaultdict[str, list[float]] = defaultdict(list)
        for nodes in self._seconds.values():
            medians = {node: median(seconds) for node, seconds in nodes.items()}
            for node, seconds in nodes.items():
                others = [value for name, value in medians.items() if name != node]
                if others:
                    elsewhere = median(others)
                    times[node] += [one / elsewhere for one in seconds]
        found = [Slow(node, median(ratios)) for node, ratios in times.items() if len(ratios) >= LEAST]
        slow = max(found, key=lambda one: one.times, default=None)
        if slow is None or slow.times < CLEARLY:
            return None
        ratios = times[slow.node]
        return slow if sum(one > 1 for one in ratios) >= MOSTLY * len(ratios) else None


def slots_words(nodes: int, in_use: int, waiting: int) -> str:
    """Nodes and slots in words: "4 nodes, 12 slots in use, 3 packs waiting"."""
    said = [f"{nodes} node" if nodes == 1 else f"{nodes} nodes", f"{in_use} slot{'s' if in_use != 1 else ''} in use"]
    return ", ".join([*said, f"{waiting} pack{'s' if waiting != 1 else ''} waiting"])
