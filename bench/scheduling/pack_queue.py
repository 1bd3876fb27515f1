"""The line in which trials wait to be packed with others of their kind (bench.training.worker.kind).

Breadth first keeps a half-finished study balanced, and would end it with a long trial that begins when all others end.
So the end of a study, what its slots train in END times its longest pack's time, runs longest first: after the first
seed of every cell, which on many slots is part of the end.
"""

import heapq
import json
import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.trial_id import CellKey, Trial

END = 1.5
"""How many times its longest pack's time the end of a study is. With once, doering2024 on 400 slots of two speeds took
15 % more than it has to; with one and a half times 7 %, and with twice no less."""

Key = tuple[bool, str]
"""Whether a trial runs alone, and its kind."""


def timing_key(trial: Trial) -> str:
    """What is timed once and stored: model, method, task and batch shape. The first shape of a method stands for all of
    its shapes, since a search may draw hundreds of them."""
    training = trial.training
    batch = [training.batch_size, training.max_length, training.precision]
    return json.dumps([trial.model.name, trial.task.name, trial.method, *batch])


@dataclass
class PackQueue:
    """Trials waiting in order. Those of one key stand in a lane of their own, so that a pack's members are found
    without looking through the others. `weights` says how long a trial of each cell takes, in any unit, and `slots` how
    many packs are trained at once; 0 where that is not known or makes no difference."""

    weights: Mapping[CellKey, float] = field(default_factory=dict)
    slots: float = 0.0
    _lanes: dict[Key, deque[tuple[int, Trial]]] = field(default_factory=dict)
    _heads: list[tuple[int, Key]] = field(default_factory=list)
    _count: int = 0
    _added: int = 0
    _left: float = 0.0
    _pack: int = 1
    _seeds: dict[CellKey, Seeds] = field(default_factory=dict)
    _sorted: bool = True
    _longest: float = field(init=False)

    def __post_init__(self) -> None:
        self._longest = max(self.weights.values(), default=0.0)

    def __len__(self) -> int:
        return self._count

    def add(self, trial: Trial, key: Key) -> None:
        """Put a trial at the end."""
        lane = self._lanes.setdefault(key, deque())
        if not lane:
            heapq.heappush(self._heads, (self._added, key))
        lane.append((self._added, trial))
        self._added += 1
        self._count += 1
        self._left += self._weight(trial)
        self._seeds.setdefault(trial.cell, trial.seeds)
        self._sorted = False

    def _weight(self, trial: Trial) -> float:
        return self.weights.get(trial.cell, 0.0)

    @property
    def ending(self) -> bool:
        """Whether what waits is the end of the study."""
        return self.slots > 0 and self._longest > 0 and self._left <= END * self.slots * self._longest * self._pack

    def most(self, size: int) -> int:
        """How many of `size` trials to train together: at the end no more than leaves something for every slot."""
        self._pack = max(self._pack, size)
        return max(1, min(size, math.ceil(self._count / self.slots))) if self.ending else size

    def _longest_first(self) -> None:
        """Sort all that waits: first seeds, then the longer before the shorter."""
        waiting = [(order, key, trial) for key, lane in self._lanes.items() for order, trial in lane]
        waiting.sort(key=lambda one: (self._seeds[one[2].cell] != one[2].seeds, -self._weight(one[2]), one[0]))
        self._lanes.clear()
        self._heads.clear()
        self._count, self._left = 0, 0.0
        for _, key, trial in waiting:
            self.add(trial, key)
        self._sorted = True

    def first(self, passed_over: Callable[[Key, Trial], bool] = lambda key, trial: False) -> tuple[Key, Trial] | None:
        """The first trial of all that is not passed over with its whole lane, and its key."""
        if self.ending and not self._sorted:
            self._longest_first()
        passed: list[tuple[int, Key]] = []
        found = None
        while self._heads and found is None:
            _, key = self._heads[0]
            trial = self._lanes[key][0][1]
            if passed_over(key, trial):
                passed.append(heapq.heappop(self._heads))
            else:
                found = key, trial
        for head in passed:
            heapq.heappush(self._heads, head)
        return found

    def take(self, key: Key, most: int) -> tuple[Trial, ...]:
        """Take the first trials of a key, `most` at most: those of the earliest seeds, the longest of them first."""
        lane = self._lanes[key]
        if self._heads[0][1] == key:
            heapq.heappop(self._heads)
        else:  # others wait for a measurement
            self._heads.remove((lane[0][0], key))
            heapq.heapify(self._heads)
        taken = tuple(lane.popleft()[1] for _ in range(min(most, len(lane))))
        if lane:
            heapq.heappush(self._heads, (lane[0][0], key))
        self._count -= len(taken)
        self._left -= sum(map(self._weight, taken))
        return taken
