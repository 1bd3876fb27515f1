"""Decides which trial runs next: grid waves, one search per cell, then the confirm stage. Knows no Ray.

The in-process runner and the Ray Tune sweep both ask `next_pack`, report evaluations to `on_rung`, and finished rows to
`on_done`; everything a decision rests on is in the results folder, so that an interrupted study continues where it was.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from finebench.bench.results.folder import KEPT, Done
from finebench.bench.scheduling.cell_search import CellSearch
from finebench.bench.scheduling.first_seeds import FirstSeeds, stand
from finebench.bench.scheduling.pack_queue import Key, PackQueue
from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.selection import best_configuration
from finebench.bench.study.trial_id import CellKey, Trial
from finebench.bench.study.waves import Waves
from finebench.bench.training.worker.kind import kind
from finebench.bench.training.worker.messages import Need, Pack

_ENDED = (*KEPT, "pruned")
"""Statuses of a search's trials that are not run again."""


class Sizes(Protocol):
    """How many trials are trained together (see bench.scheduling.pack_size)."""

    def missing(self, trial: Trial, alone: bool) -> Need | None:
        """What has to be measured before a trial may start, by itself (`alone`) or packed."""

    def most(self, trial: Trial, waiting: int) -> int:
        """How many trials to train together with this one, itself counted; `waiting` trials are queued in all."""


class OneByOne:
    """Every trial by itself, nothing to be measured."""

    def missing(self, trial: Trial, alone: bool) -> Need | None:
        """Nothing."""
        return None

    def most(self, trial: Trial, waiting: int) -> int:
        """One."""
        return 1


@dataclass
class _CellState:
    cell: Cell
    outstanding: set[str] = field(default_factory=set)
    confirmed: bool = False


class Scheduler:
    """The order of work. `done` is what the study contains of a folder (`bench.results.scope`). `why` receives (trial,
    reason, whether it runs) for every trial considered; `there` counts, by cell, what the plan asks for and an earlier
    run has done; `lasting` are those that diverged then, and stay so; `spared` counts planned trials of a confirm stage
    that turned out not to be needed. `confirmed` gives what that stage runs in a cell whose best configuration is
    known.

    The first seed of every cell and shape runs by itself (where it fails, the next one does; see
    bench.scheduling.first_seeds); later trials of a grid or confirm stage are packed, `sizes.most` of a kind together,
    the earliest seeds first. Of seeds in `waves`, a wave starts once the one before is through.
    """

    def __init__(
        self,
        plan: Plan,
        known: Identities,
        done: Mapping[tuple[str, bool], Done],
        confirmed: Callable[[Cell, dict[str, Any]], list[dict[str, Any]]] = lambda cell, best: [best],
        *,
        searches: Mapping[Cell, CellSearch] | None = None,
        limit: int | None = None,
        weight: Callable[[Cell], float] = lambda cell: 0.0,
        why: Callable[[Trial, str, bool], None] = lambda trial, reason, runs: None,
        sizes: Sizes | None = None,
        waves: Waves | None = None,
    ) -> None:
        self.waves, self._later = waves, list[Trial]()
        self.plan, self.known, self.limit, self.why = plan, known, limit, why
        self.confirmed = confirmed
        self.sizes: Sizes = sizes or OneByOne()
        self.rows: dict[str, Done] = {i: d for (i, pruned), d in done.items() if not pruned}
        self._tried: defaultdict[CellKey, dict[str, Done]] = defaultdict(dict)  # by cell, then id
        for row in self.rows.values():
            self._count_in(row)
        self.searches = dict(searches or {})
        searched = [one for one in done.values() if one.stage == "search" and one.status in _ENDED]
        self.there = Counter(one.cell for one in searched)
        self.lasting = {one.trial_id for one in searched if one.status not in ("ok", "pruned")}
        self.spared = Counter[CellKey]()
        self.started = 0
        self.queue = PackQueue({cell.key: weight(cell) for cell in plan.cells()})
        self.running: set[str] = set()
        self.measuring: set[Need] = set()
        self._asked: dict[Cell, int] = dict.fromkeys(self.searches, 0)
        self._search_of: dict[str, Cell] = {}
        self._together = plan.study.search.optuna.seeds if plan.study.search.optuna else 1  # that a search starts
        self._held: deque[Pack] = deque()  # suggested by a search; what they need is being measured
        self._states = {cell.key: _CellState(cell) for cell in plan.cells()}
        self._firsts = FirstSeeds(row for row in self.rows.values() if row.cell in self._states)
        if not self.searches:
            self._consider(plan.grid(known, weight))
        for state in self._states.values():
            self._maybe_confirm(state)

    def _count_in(self, row: Done) -> None:
        """Keep a whole run that its cell's choice may rest on."""
        if row.stage != "confirm":
            self._tried[row.cell][row.trial_id] = row

    def _consider(self, trials: Iterable[Trial]) -> None:
        """Queue what has to run; the first of each cell and shape is its measurement."""
        for trial in trials:
            if self.waves is not None and not self.waves.allows(trial):
                self._later.append(trial)
                self.spared[trial.cell] += 1
                continue
            reason, runs = self._reason(trial)
            self.why(trial, reason, runs)
            if runs:
                self.queue.add(trial, (self._firsts.claim(stand(trial)), kind(trial)))
                self._states[trial.cell].outstanding.add(trial.id)
            else:
                self.there[trial.cell] += 1
                self.lasting.update([trial.id] if self.rows[trial.id].status != "ok" else [])

    def look(self) -> None:
        """Once a wave is through, look at it, and queue what the next one runs; where that is there, go on."""
        waves = self.waves
        while waves is not None and not waves.over and self.idle:
            waves.look()
            if not waves.over:
                waiting, self._later = self._later, []
                self.spared.subtract(trial.cell for trial in waiting)
                self._consider(waiting)
                continue
            for trial in self._later:
                self.why(trial, "not needed: no open claim is about its cell", False)

    @property
    def idle(self) -> bool:
        """Whether nothing is queued, running or still to be asked for."""
        return not (len(self.queue) or self._held or self.running) and all(s.finished for s in self.searches.values())

    def _reason(self, trial: Trial) -> tuple[str, bool]:
        row = self.rows.get(trial.id)
        if row is None:
            return "not run yet", True
        if row.status in KEPT:
            return f"already there ({row.status})", False
        return f"failed before ({row.status})", True

    def next_pack(self) -> Pack | None:
        """The next pack to start, or None when nothing can start now (see `finished`)."""
        if self._room < 1 and not self._held:
            return None
        pack = self._take() or self._ask() or self._take()  # a search that ends may bring a confirm stage
        if pack is None:
            self.look()
            pack = self._take()
        if pack is not None and pack.measures is None:
            self.started += len(pack.trials)
            self.running.update(trial.id for trial in pack.trials)
        return pack

    def _take(self) -> Pack | None:
        """The next pack out of the line, within the limit; what waits for a measurement is passed over."""
        found = self.queue.first(
            lambda key, trial: self.sizes.missing(trial, self._alone(key, trial)) in self.measuring
        )
        if found is None or self._room < 1:
            return None
        key, trial = found
        alone = self._alone(key, trial)
        need = self.sizes.missing(trial, alone)
        if need is not None:
            return self._measure(trial, need)
        if alone:
            self._firsts.claim(stand(trial))
        most = 1 if alone else self.queue.most(self.sizes.most(trial, len(self.queue)))
        return Pack(self.queue.take(key, int(min(most, self._room))), alone=alone)

    @property
    def _room(self) -> float:
        """How many more trials may start, beside those that a search has suggested."""
        taken = self.started + sum(len(pack.trials) for pack in self._held)
        return math.inf if self.limit is None else self.limit - taken

    def _alone(self, key: Key, trial: Trial) -> bool:
        """Whether a trial measures its cell and shape: queued for that, or in the place of one that failed."""
        return key[0] or self._firsts.free(stand(trial))

    def _measure(self, trial: Trial, need: Need) -> Pack:
        self.measuring.add(need)
        return Pack((trial,), measures=need)

    def measured(self, need: Need) -> None:
        """A measurement has been made, or given up: what waits for it may start."""
        self.measuring.discard(need)

    def _ask(self) -> Pack | None:
        """Ask the search that has been asked least (breadth first over cells)."""
        for held in self._held:
            if self.sizes.missing(held.trials[0], held.alone) not in self.measuring:
                self._held.remove(held)
                return self._ready(held)
        for cell in sorted(self.searches, key=lambda c: self._asked[c]) if self._room >= self._together else ():
            pack = self.searches[cell].ask()
            if pack is not None:
                pack = replace(pack, alone=self._firsts.claim((cell.key, None)))
                self._asked[cell] += 1
                self._search_of[pack.name] = cell
                for trial in pack.trials:
                    self.why(trial, "suggested by the search", True)
                return self._ready(pack)
            self._maybe_confirm(self._states[cell.key])  # it may have found only now that nothing is left
        return None

    def _ready(self, pack: Pack) -> Pack | None:
        """The pack of a search, or first the measurement that it needs."""
        need = self.sizes.missing(pack.trials[0], pack.alone)
        if need is None:
            return pack
        self._held.append(pack)
        return None if need in self.measuring else self._measure(pack.trials[0], need)

    def on_rung(self, pack: Pack, index: int, value: float) -> bool:
        """Take in an evaluation of a running search pack; True to stop it now."""
        cell = self._search_of.get(pack.name)
        return cell is not None and self.searches[cell].rung(pack, index, value)

    def on_done(self, pack: Pack, rows: list[Done]) -> None:
        """Take in finished rows of a pack: of a search's all at once, of any other as its trials end."""
        for row in rows:
            self.running.discard(row.trial_id)
            if row.status != "pruned":
                self.rows[row.trial_id] = row
                self._count_in(row)
            self._firsts.observe(row)
            self._states[row.cell].outstanding.discard(row.trial_id)
        cell = self._search_of.get(pack.name)
        if pack.alone and any(row.status != "ok" for row in rows):
            self._firsts.release(stand(pack.trials[0]) if cell is None else (cell.key, None))
        if cell is not None:
            self.searches[cell].tell(pack, rows)
        for key in dict.fromkeys(row.cell for row in rows):
            self._maybe_confirm(self._states[key])

    def _maybe_confirm(self, state: _CellState) -> None:
        """Once a cell's own trials are through, queue its best and its default configuration on fresh seeds.

        Where no trial of their shape has been measured by itself, the first of those seeds is.
        """
        search = self.searches.get(state.cell)
        waiting = bool(state.outstanding) or (search is not None and not search.finished)
        if state.confirmed or waiting or not (most := self.plan.most_confirmed):
            return
        state.confirmed = True
        best = best_configuration(row.scored for row in self._tried[state.cell.key].values())
        if best is None:
            self.spared[state.cell.key] += most
            return
        trials = self.plan.confirm(state.cell, self.confirmed(state.cell, best), self.known)
        self.spared[state.cell.key] += most - len(trials)
        self._firsts.release_cell(state.cell.key)
        self._consider(trials)

    @property
    def finished(self) -> bool:
        """Whether nothing is left to start (what runs may still be running)."""
        if self.limit is not None and self.started >= self.limit:
            return True
        exhausted = all(search.exhausted for search in self.searches.values())
        cramped = not exhausted and self._room < self._together
        if len(self.queue) or self._held or (self.waves is not None and not self.waves.over and not cramped):
            return False
        if self.plan.study.search.confirm_seeds and self.running:
            return False  # what runs may bring a confirm stage
        return cramped or exhausted

    @property
    def pending(self) -> int:
        """Trials queued now (a search's and a confirm stage's later ones are not known yet)."""
        return len(self.queue)
