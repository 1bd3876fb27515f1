"""Whether a cluster has room for a study's trials: on one of its nodes, since a trial runs on one, not on their sum."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from finebench.bench.driver.ray.nodes.asks import ACCELERATOR, Ask, asked
from finebench.bench.driver.ray.nodes.asks import slots as slots_on
from finebench.bench.driver.ray.nodes.autoscaler import Autoscaler
from finebench.bench.driver.ray.nodes.roster import Node, listed
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import StudyError

BUSY = "waiting: all slots are in use by other work"
UNKNOWN = 32.0
"""Packs that wait for an autoscaler of which nothing is known: as many as may bring nodes at a time; it has a bound of
its own, and what it brings lets more wait."""


class Wish(NamedTuple):
    """What one trial of a method asks of one node or, on several ranks, each of them; `key` names where the study says
    so."""

    method: str
    key: str
    ask: Ask

    @property
    def less(self) -> str:
        """How a user asks for less."""
        keys = [name for name, asked in (("cpu", True), ("gpu", True), *self._further()) if asked]
        return ", ".join(f"--set {self.key}.{name}=…" for name in keys)

    def _further(self) -> Iterator[tuple[str, bool]]:
        names = self.ask.others.keys() - {"memory"}
        yield "accelerator", any(name.startswith(ACCELERATOR) for name in names)
        yield "memory", "memory" in self.ask.others
        yield "custom", any(not name.startswith(ACCELERATOR) for name in names)
        yield "labels", bool(self.ask.labels)


def wishes(study: Study, gpus: float) -> Iterator[Wish]:
    """What each method's trials ask for on a cluster with so many GPUs in all."""
    for name, own in study.methods.items():
        here = f"methods.{name}.resources" if own.get("resources") else "resources"
        yield Wish(name, here, asked(study, name, gpus))


def check(study: Study, nodes: Sequence[Node], autoscaler: Callable[[], Autoscaler | None]) -> list[str]:
    """Notes on trials for which no node has room now and one will come.

    `autoscaler` finds what may bring one. Raises StudyError where none can: the trials would wait for ever.
    """
    lacking = _lacking(study, nodes)
    brings = autoscaler() if lacking else None
    notes: dict[str, None] = {}  # methods that ask for the same are told of once
    for wish in lacking:
        on = "on one node asked for" if wish.ask.ranks == 1 else f"for each of {wish.ask.ranks} ranks asked for"
        asks = f"{wish.ask.shown} {on}"
        has = f"the cluster has {listed(nodes, wish.ask)}" if nodes else "the cluster has no node"
        if brings is None:
            raise StudyError(
                f"{wish.key}: {asks}, and {has}; no autoscaler is there to bring another node, so that trials of "
                f"{wish.method!r} could never start. Ask for less ({wish.less}), or join a node that has it (ray start "
                "--address=…) and run the same command again"
            )
        if brings.kinds is None:
            notes[
                f"{wish.key}: {asks}, and {has}: waiting for the autoscaler, which does not say here whether it can"
            ] = None
            continue
        able = [kind for kind in brings.kinds if kind.most and wish.ask.times(kind)]
        more = sum(wish.ask.times(kind) * kind.most for kind in able)
        if not able or sum(map(wish.ask.times, nodes)) + more < wish.ask.ranks:
            kinds = ", ".join(kind.shown(wish.ask) for kind in brings.kinds) or "none"
            raise StudyError(
                f"{wish.key}: {asks}, and {has}; the cluster file allows {kinds}: trials of {wish.method!r} could "
                f"never start. Ask for less ({wish.less}), or change that file"
            )
        notes[f"{wish.key}: {asks}, and {has}: waiting for the autoscaler to bring {able[0].shown(wish.ask)}"] = None
    return list(notes)


def check_here(study: Study, nodes: Sequence[Node]) -> None:
    """Raise StudyError where a trial asks for what the Ray on this machine alone does not have."""
    for wish in _lacking(study, nodes):
        has = ", ".join(wish.ask.there(node) for node in nodes)
        each = "" if wish.ask.ranks == 1 else f" for each of {wish.ask.ranks} ranks"
        raise StudyError(
            f"{wish.key}: {wish.ask.shown}{each} asked for, and this machine has {has}; trials of {wish.method!r} "
            f"could never start. Ask for less ({wish.less}), or join a cluster that has it (--address)"
        )


def _lacking(study: Study, nodes: Sequence[Node]) -> list[Wish]:
    """What nodes have no room for."""
    return [wish for wish in wishes(study, _gpus(nodes)) if not wish.ask.fits_on(nodes)]


def _gpus(nodes: Sequence[Node]) -> float:
    return sum(node.gpus for node in nodes)


def able(study: Study, nodes: Sequence[Node]) -> list[Node]:
    """The nodes that have room for a trial of some method."""
    wanted = list(wishes(study, _gpus(nodes)))
    return [node for node in nodes if any(wish.ask.times(node) for wish in wanted)]


def able_to_come(study: Study, nodes: Sequence[Node], autoscaler: Autoscaler | None) -> Autoscaler | None:
    """An autoscaler with those alone of its kinds of node that have room for a trial of some method."""
    if autoscaler is None or autoscaler.kinds is None:
        return autoscaler
    wanted = list(wishes(study, _gpus(nodes)))
    kinds = tuple(kind for kind in autoscaler.kinds if any(wish.ask.times(kind) for wish in wanted))
    return replace(autoscaler, kinds=kinds)


def slots(study: Study, nodes: Sequence[Node], gpus: float, autoscaler: Autoscaler | None) -> dict[str, int]:
    """Trials of each method that train at once now or, where that is more, on all that a cluster file allows; with so
    many GPUs at the start of a run, by which `auto` is decided."""
    now = slots_on(study, gpus, nodes)
    kinds = (autoscaler.kinds if autoscaler else None) or ()
    for name in now:
        ask = asked(study, name, gpus)
        left = autoscaler.most if autoscaler and autoscaler.most is not None else sum(kind.most for kind in kinds)
        ranks = 0
        for kind in sorted(kinds, key=ask.times, reverse=True):
            number = min(left, kind.most)
            left -= number
            ranks += number * ask.times(kind)
        now[name] = max(now[name], ranks // ask.ranks)
    return now


def cpus(nodes: Sequence[Node], autoscaler: Autoscaler | None) -> float:
    """CPUs that trials have now or, where that is more, may come to have by what a cluster file allows."""
    kinds = (autoscaler.kinds if autoscaler else None) or ()
    left = autoscaler.most if autoscaler and autoscaler.most is not None else sum(kind.most for kind in kinds)
    more = 0.0
    for kind in sorted(kinds, key=lambda kind: (-kind.gpus, -kind.cpus)):
        number = min(left, kind.most)
        left -= number
        more += number * kind.cpus
    return max(sum(node.cpus for node in nodes), more)


def demand(most: float, autoscaler: Autoscaler | None) -> float:
    """Packs that are to wait, where trials have so many CPUs or may come to have them (`cpus`), so that an autoscaler
    sees what it could bring nodes for; 0 without one."""
    if autoscaler is None:
        return 0.0
    return max(most, UNKNOWN) if autoscaler.kinds is None else most


def busy(study: Study, nodes: Sequence[Node], free: Sequence[Node]) -> bool:
    """Whether nodes have room for trials, and none of it is free."""
    wanted = [wish for wish in wishes(study, _gpus(nodes)) if wish.ask.fits_on(nodes)]
    return bool(wanted) and not any(wish.ask.fits_on(free) for wish in wanted)
