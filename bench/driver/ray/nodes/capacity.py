"""Whether a cluster has room for a study's trials: on one of its nodes, since a trial runs on one, not on their sum."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from finebench.bench.driver.ray.nodes.autoscaler import Autoscaler, Kind
from finebench.bench.driver.ray.nodes.roster import Node, listed, offer
from finebench.bench.study.load import method_resources
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import StudyError

BUSY = "waiting: all slots are in use by other work"
UNKNOWN = 32.0
"""Packs that wait for an autoscaler of which nothing is known: as many as may bring nodes at a time; it has a bound of
its own, and what it brings lets more wait."""


class Wish(NamedTuple):
    """What one trial of a method asks of one node; `key` names where the study says so."""

    method: str
    key: str
    cpus: float
    gpus: float

    def fits(self, place: Node | Kind) -> bool:
        """Whether a node has it."""
        return place.cpus >= self.cpus and place.gpus >= self.gpus


def wishes(study: Study, gpus: float) -> Iterator[Wish]:
    """What each method's trials ask for on a cluster with so many GPUs in all."""
    for name, own in study.methods.items():
        asked = method_resources(study, name)
        share = (1.0 if gpus > 0 else 0.0) if asked.gpu == "auto" else float(asked.gpu)
        here = f"methods.{name}.resources" if own.get("resources") else "resources"
        yield Wish(name, here, float(asked.cpu), share)


def check(study: Study, nodes: Sequence[Node], autoscaler: Callable[[], Autoscaler | None]) -> list[str]:
    """Notes on trials for which no node has room now and one will come.

    `autoscaler` finds what may bring one. Raises StudyError where none can: the trials would wait for ever.
    """
    lacking = [wish for wish in wishes(study, sum(node.gpus for node in nodes)) if not any(map(wish.fits, nodes))]
    brings = autoscaler() if lacking else None
    notes: dict[str, None] = {}  # methods that ask for the same are told of once
    for wish in lacking:
        asks = f"{offer(wish.cpus, wish.gpus)} on one node asked for"
        has = f"the cluster has {listed(nodes)}" if nodes else "the cluster has no node"
        if brings is None:
            raise StudyError(
                f"{wish.key}: {asks}, and {has}; no autoscaler is there to bring another node, so that trials of "
                f"{wish.method!r} could never start. Ask for less (--set {wish.key}.cpu=…, --set {wish.key}.gpu=…), or "
                "join a node that has it (ray start --address=…) and run the same command again"
            )
        if brings.kinds is None:
            notes[
                f"{wish.key}: {asks}, and {has}: waiting for the autoscaler, which does not say here whether it can"
            ] = None
            continue
        able = [kind for kind in brings.kinds if kind.most and wish.fits(kind)]
        if not able:
            kinds = ", ".join(kind.shown for kind in brings.kinds) or "none"
            raise StudyError(
                f"{wish.key}: {asks}, and {has}; the cluster file allows {kinds}: trials of {wish.method!r} could "
                f"never start. Ask for less (--set {wish.key}.cpu=…, --set {wish.key}.gpu=…), or change that file"
            )
        notes[f"{wish.key}: {asks}, and {has}: waiting for the autoscaler to bring {able[0].shown}"] = None
    return list(notes)


def places(nodes: Sequence[Node], autoscaler: Autoscaler | None) -> tuple[float, float]:
    """CPUs and GPUs that trials have now or, where that is more, may come to have by what a cluster file allows."""
    cpus, gpus = sum(node.cpus for node in nodes), sum(node.gpus for node in nodes)
    kinds = (autoscaler.kinds if autoscaler else None) or ()
    left = autoscaler.most if autoscaler and autoscaler.most is not None else sum(kind.most for kind in kinds)
    more_cpus = more_gpus = 0.0
    for kind in sorted(kinds, key=lambda kind: (-kind.gpus, -kind.cpus)):
        number = min(left, kind.most)
        left -= number
        more_cpus += number * kind.cpus
        more_gpus += number * kind.gpus
    return max(cpus, more_cpus), max(gpus, more_gpus)


def demand(cpus: float, autoscaler: Autoscaler | None) -> float:
    """Packs that are to wait, where trials have so many CPUs or may come to have them (`places`), so that an autoscaler
    sees what it could bring nodes for; 0 without one."""
    if autoscaler is None:
        return 0.0
    return max(cpus, UNKNOWN) if autoscaler.kinds is None else cpus


def busy(study: Study, nodes: Sequence[Node], free: Sequence[Node]) -> bool:
    """Whether nodes have room for trials, and none of it is free."""
    asked = [wish for wish in wishes(study, sum(node.gpus for node in nodes)) if any(map(wish.fits, nodes))]
    return bool(asked) and not any(wish.fits(node) for wish in asked for node in free)
