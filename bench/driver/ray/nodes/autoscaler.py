"""Whether an autoscaler adds nodes to the connected cluster, and which kinds of node it may add.

Ray's monitor (up to 2.60 at least) runs on every head that `ray start` made. Without a cluster file it adds nothing:
the first one gives each node a type of its own, named after the node; the second one (`ray up` since 2.50, KubeRay's
v2) writes nothing where that could be seen. What a cluster file allows is no part of what Ray tells, and is read on the
head, from the file that its monitor was started with. On Kubernetes the head runs no monitor where KubeRay's, beside
it, adds pods.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from finebench.bench.driver.ray.nodes import insides
from finebench.bench.driver.ray.nodes.asks import Ask
from finebench.bench.driver.ray.nodes.roster import Node
from finebench.bench.util.errors import InputError
from finebench.bench.util.safe_yaml import parse_yaml

STATUS = "__autoscaling_status"
"""Under which the first monitor writes down what it does, every few seconds."""
FIRST_STATUS = 6.0
"""Seconds after which a monitor that has just started has done so."""
PATIENCE = 20.0
"""Seconds for which the head is waited for, to say what its cluster file allows."""
KUBERNETES = "KUBERNETES_SERVICE_HOST"
"""Set in every pod: a driver is on a node of its cluster, so that what it runs on the cluster does too."""


@dataclass(frozen=True)
class Kind:
    """A type of node that an autoscaler may start, up to `most` of it."""

    name: str
    cpus: float
    gpus: float
    most: int
    others: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def shown(self, ask: Ask) -> str:
        """The type and what such a node has of what is asked for, for people."""
        return f"{self.name} (up to {self.most}, each {ask.there(self)})"


@dataclass(frozen=True)
class Autoscaler:
    """An autoscaler; `kinds` are None where they cannot be known from here, as on Kubernetes. `most` bounds its nodes
    in all."""

    kinds: tuple[Kind, ...] | None
    most: int | None = None


def find(nodes: Sequence[Node], patience: float = FIRST_STATUS) -> Autoscaler | None:
    """The autoscaler of the connected cluster, which has these nodes; None where no node will ever be added.

    A first monitor that has told nothing is waited for, `patience` seconds long.
    """
    head = next((node.id for node in nodes if node.head), None)
    end = time.monotonic() + patience
    while (types := _types()) is None and not (second := insides.has_second_monitor()) and time.monotonic() < end:
        time.sleep(0.5)
    if types is None:
        return _allowed(head, KUBERNETES in os.environ) if second else None
    return None if all(one.startswith("node_") for one in types) else _allowed(head, True)


def _types() -> set[str] | None:
    """Types of the nodes that the monitor knows of; None before it has written any down."""
    said = insides.written(STATUS)
    report = json.loads(said).get("autoscaler_report") if said else None
    return None if report is None else {*report["active_nodes"], *report["pending_launches"]}


def _allowed(head: str | None, elsewhere: bool) -> Autoscaler | None:
    """What the cluster file on the head allows; None where its monitor has none, or where there is no monitor and none
    may run `elsewhere`."""
    if head is None:
        return Autoscaler(None)
    there = NodeAffinitySchedulingStrategy(head, soft=False)
    ask = ray.remote(num_cpus=0, max_retries=0)(cluster_file).options(scheduling_strategy=there)
    try:
        text = ray.get(ask.remote(), timeout=PATIENCE)
        if not text:
            return Autoscaler(None) if text is None and elsewhere else None
        return parsed(parse_yaml(text, "the head's cluster file"))
    except (ray.exceptions.RayError, InputError, AttributeError, TypeError, ValueError):  # not to be known from here
        return Autoscaler(None)


def cluster_file(processes: Path = Path("/proc")) -> str | None:
    """The cluster file that this machine's monitor was started with, empty where it was started without; None where no
    monitor runs here, as far as is known. Raises OSError where the file cannot be read."""
    option, found = "--autoscaling-config=", None
    for process in processes.glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # it has just ended, or is another user's
            continue
        if any(word.endswith("/monitor.py") for word in words):
            named = [word.removeprefix(option) for word in words if word.startswith(option)]
            if named:
                return Path(named[0]).expanduser().read_text(encoding="utf-8")
            found = ""
    return found


def parsed(file: dict[str, Any]) -> Autoscaler:
    """What a cluster file allows beside its head. Raises AttributeError, TypeError or ValueError for what is none."""
    most = int(file.get("max_workers", 2))  # Ray's own default
    kinds = []
    for name, raw in file["available_node_types"].items():
        if name != file.get("head_node_type"):
            has = raw.get("resources", {})
            number = min(most, int(raw.get("max_workers", most)))
            others = {key: float(amount) for key, amount in has.items() if key not in ("CPU", "GPU")}
            labels = {str(key): str(value) for key, value in raw.get("labels", {}).items()}
            kinds.append(Kind(name, float(has.get("CPU", 0)), float(has.get("GPU", 0)), number, others, labels))
    return Autoscaler(tuple(kinds), most)
