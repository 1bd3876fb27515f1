"""The line in which trials wait to be packed with others of their kind (bench.training.worker.kind)."""

import heapq
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from finebench.bench.study.trial_id import Trial

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
    without looking through the others."""

    _lanes: dict[Key, deque[tuple[int, Trial]]] = field(default_factory=dict)
    _heads: list[tuple[int, Key]] = field(default_factory=list)
    _count: int = 0
    _added: int = 0

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

    def first(self, passed_over: Callable[[Key, Trial], bool] = lambda key, trial: False) -> tuple[Key, Trial] | None:
        """The first trial of all that is not passed over with its whole lane, and its key."""
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
        return taken
