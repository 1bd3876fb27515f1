"""How long a study takes on so many slots: its scheduler's own order, replayed against a clock that only counts.

    found = simulate(planned(plan, seconds, 64), seconds_of_trial, alike(64))    # found.seconds, found.busy

Real are the scheduler, with all that it decides (order, packs, waves, confirm stages), and what is tried again first.
Stand-ins are the trials, each as long as it is said to be; what a search suggests (simulated_plan); and Ray Tune, which
holds some packs ahead: a worker that ends one takes the next, a worker that has to start takes the oldest. What the
driver, the network and storage take is not counted.
"""

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

from finebench.bench.results.folder import Done
from finebench.bench.scheduling.retries import begun_first
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.scheduling.slots import ahead
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import Pack

START = 7.0
"""Seconds from asking for a worker to its first step: 6.5 were measured (docs/operations/performance.md)."""


@dataclass(frozen=True)
class Node:
    """Slots of one machine; `speed` 2 trains in half the seconds that trials are said to take."""

    slots: int
    speed: float = 1.0


@dataclass(frozen=True)
class Site:
    """Where a study runs. Each node is taken away `preempted` times an hour on average and is there again after `away`
    seconds; `checkpoint` seconds pass between a trial's checkpoints, from which it goes on elsewhere."""

    nodes: tuple[Node, ...]
    preempted: float = 0.0
    away: float = 120.0
    start: float = START
    checkpoint: float = 30.0

    @property
    def slots(self) -> int:
        """Of all nodes."""
        return sum(node.slots for node in self.nodes)

    @property
    def speed(self) -> float:
        """Of all slots together."""
        return sum(node.slots * node.speed for node in self.nodes)

    def bound(self, work: float, longest: float) -> float:
        """Seconds below which no order comes that knows nothing of speeds: all `work` on all slots, or the `longest`
        trial on a slow node."""
        return max(longest / min(node.speed for node in self.nodes), work / self.speed)


def alike(slots: int) -> Site:
    """Slots of one speed that stay."""
    return Site((Node(slots),))


@dataclass(frozen=True)
class Simulated:
    """A run that was replayed: its `seconds`, those of `Site.bound`, the share of the slots' time in which they trained
    (`busy`), and the packs that lost their node and ran again (`lost`)."""

    seconds: float
    bound: float
    busy: float
    trials: int
    lost: int


def simulate(
    scheduler: Scheduler, seconds: Callable[[Trial], float], site: Site, draw: np.random.Generator | None = None
) -> Simulated:
    """Replay a scheduler that nothing has been asked of yet; `seconds` are a trial's at speed 1.

    `draw` puts the first packs on nodes and takes nodes away; None draws as seed 0 does.
    """
    return _Run(scheduler, seconds, site, np.random.default_rng(0) if draw is None else draw).go()


@dataclass(eq=False)
class _Waiting:
    """A pack on its way: its seconds that are left at speed 1, and whether a worker has had it before."""

    pack: Pack
    left: float
    begun: bool = False


@dataclass(eq=False)
class _Slot:
    """A place for a pack, which trains from `since` on. `turn` counts what it was given, so that the end of what was
    lost with a node is passed over."""

    node: int
    speed: float
    turn: int = 0
    has: _Waiting | None = None
    since: float = 0.0


class _Run:
    """The clock, and what waits for it."""

    def __init__(
        self, scheduler: Scheduler, seconds: Callable[[Trial], float], site: Site, draw: np.random.Generator
    ) -> None:
        self.scheduler, self.seconds, self.site, self.draw = scheduler, seconds, site, draw
        self.ahead = ahead(site.slots)
        self.now = self.trained = self.work = self.longest = 0.0
        self.trials = self.lost = self.running = 0
        self.waiting: list[_Waiting] = []
        self.again: deque[_Waiting] = deque()
        slots = [_Slot(number, node.speed) for number, node in enumerate(site.nodes) for _ in range(node.slots)]
        self.cold = deque(slots[i] for i in draw.permutation(len(slots)))  # Ray promises no order
        self.warm: deque[_Slot] = deque()
        self.on: list[list[_Slot]] = [[] for _ in site.nodes]
        for slot in slots:
            self.on[slot.node].append(slot)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    def go(self) -> Simulated:
        """To the end of the study."""
        for node in range(len(self.site.nodes)):
            self._preempt_later(node)
        self._hand_out()
        end = 0.0
        while self.running or ((self.waiting or self.again) and self._events):
            self.now, _, event = heapq.heappop(self._events)
            event()
            self._hand_out()
            end = self.now
        if self.waiting or not self.scheduler.finished:
            raise RuntimeError(f"the simulated run stands still; {self.scheduler.pending} trials are queued")
        busy = self.trained / (self.site.speed * end) if end else 0.0
        return Simulated(end, self.site.bound(self.work, self.longest), busy, self.trials, self.lost)

    def _at(self, when: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def _fill(self) -> None:
        """Ask for packs until enough of them wait."""
        while len(self.waiting) < self.ahead:
            if self.again:
                self.waiting.append(self.again.popleft())
                continue
            pack = self.scheduler.next_pack()
            if pack is None:
                return
            lengths = [self.seconds(trial) for trial in pack.trials]
            self.work, self.longest = self.work + sum(lengths), max(self.longest, *lengths)
            self.trials += len(lengths)
            self.waiting.append(_Waiting(pack, sum(lengths)))  # no core trains several in less time than one by one

    def _hand_out(self) -> None:
        self._fill()
        while self.waiting and (self.warm or self.cold):
            if self.warm:
                self._give(self.warm.popleft(), begun_first(self.waiting, lambda one: one.begun), 0.0)
            else:
                self._give(self.cold.popleft(), self.waiting[0], self.site.start)
            self._fill()

    def _give(self, slot: _Slot, one: _Waiting, start: float) -> None:
        self.waiting.remove(one)
        slot.turn, slot.has, slot.since = slot.turn + 1, one, self.now + start
        self.running += 1
        turn = slot.turn
        self._at(slot.since + one.left / slot.speed, lambda: self._ended(slot, turn))

    def _ended(self, slot: _Slot, turn: int) -> None:
        one = slot.has
        if one is None or slot.turn != turn:
            return
        slot.has = None
        self.running -= 1
        self.trained += one.left
        self.warm.append(slot)
        self.scheduler.on_done(one.pack, [_row(trial) for trial in one.pack.trials])

    def _preempt_later(self, node: int) -> None:
        if self.site.preempted:
            gap = float(self.draw.exponential(3600 / self.site.preempted))
            self._at(self.now + gap, lambda: self._preempt(node))

    def _preempt(self, node: int) -> None:
        for slot in self.on[node]:
            for free in (self.warm, self.cold):
                if slot in free:
                    free.remove(slot)
            one, slot.has = slot.has, None
            if one is None:
                continue
            self.running -= 1
            self.lost += 1
            trained = max(0.0, self.now - slot.since)
            kept = trained // self.site.checkpoint * self.site.checkpoint * slot.speed
            self.trained += kept
            self.again.append(_Waiting(one.pack, one.left - kept, begun=True))
        self._at(self.now + self.site.away, lambda: self._back(node))

    def _back(self, node: int) -> None:
        self.cold.extend(self.on[node])
        self._preempt_later(node)


def _row(trial: Trial) -> Done:
    """What a scheduler is told of a trial that ended well."""
    return Done(
        trial_id=trial.id,
        stage=trial.stage,
        status="ok",
        cell=trial.cell,
        configuration=trial.configuration,
        seed=trial.seeds.code,
        select_score=0.0,
        steps=None,
        peak_memory_bytes=None,
        device=None,
    )
