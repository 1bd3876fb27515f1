"""What a trial asks of one node, whether a node has it, and both in words."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from finebench.bench.study.load import method_resources
from finebench.bench.study.schema import Study

ACCELERATOR = "accelerator_type:"
"""How Ray's resource begins of which a node with such an accelerator has one."""


class Place(Protocol):
    """A node, or a type of node that an autoscaler may bring."""

    @property
    def cpus(self) -> float:
        """CPUs."""

    @property
    def gpus(self) -> float:
        """GPUs."""

    @property
    def others(self) -> Mapping[str, float]:
        """Ray's other resources: memory in bytes, types of accelerators, custom ones."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Ray's labels."""


@dataclass(frozen=True)
class Room:
    """A place of which no more than this is known, as a machine without a Ray."""

    cpus: float
    gpus: float
    others: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ask:
    """So much of one node: CPUs, GPUs, of Ray's other resources, and a selector for each of some labels; so many times,
    on one node or several, where a trial has several ranks."""

    cpus: float
    gpus: float
    others: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    ranks: int = 1

    def fits(self, place: Place) -> bool:
        """Whether a node has it."""
        return self.times(place) > 0

    def times(self, place: Place) -> int:
        """How many times a node has it. A share of a GPU is one GPU's: of two, 0.4 is there four times and not five."""
        if not all(selects(selector, place.labels.get(name)) for name, selector in self.labels.items()):
            return 0
        asked = [(place.cpus, self.cpus)]
        asked += [(place.others.get(name, 0.0), amount) for name, amount in self.others.items()]
        if any(there < amount for there, amount in asked):
            return 0
        found = [_whole(there / amount) for there, amount in asked if amount]
        if self.gpus:
            rest, free = math.modf(place.gpus)
            found.append(int(free) * _whole(1 / self.gpus) + _whole(rest / self.gpus))
        return min(found, default=0)

    def fits_on(self, places: Iterable[Place]) -> bool:
        """Whether these nodes together have it for all ranks."""
        return sum(map(self.times, places)) >= self.ranks

    @property
    def shown(self) -> str:
        """In words: "2 CPUs, 1 GPU, H100, 16 GiB of memory, zone: in(a, b)"."""
        labels = [f"{name}: {selector}" for name, selector in self.labels.items()]
        others = [_amount(name, amount) for name, amount in self.others.items()]
        return ", ".join([offer(self.cpus, self.gpus), *others, *labels])

    def there(self, place: Place) -> str:
        """What a node has of the kinds of things that are asked for, in words."""
        typed = any(name.startswith(ACCELERATOR) for name in self.others)
        others = [
            _amount(name, amount)
            for name, amount in place.others.items()
            if name in self.others or (typed and name.startswith(ACCELERATOR))
        ]
        labels = [f"{name}: {place.labels[name]}" for name in self.labels if name in place.labels]
        return ", ".join([offer(place.cpus, place.gpus), *others, *labels])


def asked(study: Study, name: str, gpus: float) -> Ask:
    """What each rank of a trial of a method asks for where there are so many GPUs in all."""
    one = method_resources(study, name)
    return Ask(float(one.cpu), one.gpus(gpus), one.beside, one.labels or {}, one.number)


def slots(study: Study, gpus: float, places: Iterable[Place]) -> dict[str, int]:
    """Trials of each method that train at once on these, one at least, where there are so many GPUs in all. A GPU under
    `auto` is one place: what several on it would bring is measured later."""
    there = list(places)
    asks = {name: asked(study, name, gpus) for name in study.methods}
    return {name: max(1, sum(map(ask.times, there)) // ask.ranks) for name, ask in asks.items()}


def _whole(number: float) -> int:
    """Rounded down, but not for want of a last digit: ten tenths are ten."""
    return math.floor(number + 1e-9)


def selects(selector: str, value: str | None) -> bool:
    """Whether a label's value (None: no such label) is what Ray's selector wants: a value, in(a, b), or not that."""
    wanted = selector.removeprefix("!")
    values = wanted[3:-1].split(",") if wanted.startswith("in(") else [wanted]
    return (value in [one.strip() for one in values]) != selector.startswith("!")


def offer(cpus: float, gpus: float) -> str:
    """So many CPUs and GPUs, in words: "4 CPUs, 1 GPU"."""
    said = [f"{cpus:g} CPU" if cpus == 1 else f"{cpus:g} CPUs"]
    return ", ".join(said + ([f"{gpus:g} GPU" if gpus == 1 else f"{gpus:g} GPUs"] if gpus else []))


def _amount(name: str, amount: float) -> str:
    if name == "memory":
        return f"{amount / 2**30:.3g} GiB of memory"
    return name.removeprefix(ACCELERATOR) if name.startswith(ACCELERATOR) else f"{amount:g} {name}"
