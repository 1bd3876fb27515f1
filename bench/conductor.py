"""Decides which trial runs next: grid waves, one search per cell, then the confirm stage. Knows no Ray.

The in-process runner and the Ray Tune sweep both ask `next_pack`, report evaluations to `on_rung`, and finished rows to
`on_done`; everything a decision rests on is in the results folder, so that an interrupted study continues where it was.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from bench.choice import best_configuration
from bench.plan import Cell, Identities, Plan
from bench.results import KEPT, Done
from bench.trial import Trial


@dataclass(frozen=True)
class Pack:
    """Trials that one worker trains together; `rungs` asks it to report every evaluation."""

    trials: tuple[Trial, ...]
    rungs: bool = False

    @property
    def name(self) -> str:
        """Short name for logs: the first trial's id."""
        return self.trials[0].id


class CellSearch(Protocol):
    """One cell's search: asks for configurations, is told how they did (see bench.search)."""

    def ask(self) -> Pack | None:
        """The next configuration's trials, or None when none can be asked for now."""

    def rung(self, pack: Pack, index: int, value: float) -> bool:
        """Take in the mean `select` score at evaluation `index`; True to stop the configuration."""

    def tell(self, pack: Pack, rows: list[Done]) -> None:
        """Take in a configuration's finished rows."""

    @property
    def exhausted(self) -> bool:
        """Whether nothing more will be asked for."""

    @property
    def finished(self) -> bool:
        """Whether everything asked for has been told."""


@dataclass
class _CellState:
    cell: Cell
    outstanding: set[str] = field(default_factory=set)
    confirmed: bool = False


class Conductor:
    """The order of work. `why` receives (trial, reason, whether it runs) for every trial considered."""

    def __init__(
        self,
        plan: Plan,
        known: Identities,
        done: Mapping[tuple[str, bool], Done],
        *,
        searches: Mapping[Cell, CellSearch] | None = None,
        limit: int | None = None,
        weight: Callable[[Cell], float] = lambda cell: 0.0,
        why: Callable[[Trial, str, bool], None] = lambda trial, reason, runs: None,
    ) -> None:
        self.plan, self.known, self.limit, self.why = plan, known, limit, why
        self.rows: dict[str, Done] = {i: d for (i, pruned), d in done.items() if not pruned}
        self.searches = dict(searches or {})
        self.started = 0
        self.queue: deque[Trial] = deque()
        self.running: dict[str, Pack] = {}
        self._asked: dict[Cell, int] = dict.fromkeys(self.searches, 0)
        self._search_of: dict[str, Cell] = {}
        self._states = {cell.key: _CellState(cell) for cell in plan.cells()}
        if not self.searches:
            self._consider(plan.grid(known, weight))
        for state in self._states.values():
            self._maybe_confirm(state)

    def _consider(self, trials: Iterable[Trial]) -> None:
        for trial in trials:
            reason, runs = self._reason(trial)
            self.why(trial, reason, runs)
            if runs:
                self.queue.append(trial)
                self._states[trial.cell].outstanding.add(trial.id)

    def _reason(self, trial: Trial) -> tuple[str, bool]:
        row = self.rows.get(trial.id)
        if row is None:
            return "not run yet", True
        if row.status in KEPT:
            return f"already there ({row.status})", False
        return f"failed before ({row.status})", True

    def next_pack(self) -> Pack | None:
        """The next pack to start, or None when nothing can start now (see `finished`)."""
        if self.limit is not None and self.started >= self.limit:
            return None
        pack = Pack((self.queue.popleft(),)) if self.queue else self._ask()
        if pack is not None:
            self.started += len(pack.trials)
            self.running[pack.name] = pack
        return pack

    def _ask(self) -> Pack | None:
        """Ask the search that has been asked least (breadth first over cells)."""
        for cell in sorted(self.searches, key=lambda c: self._asked[c]):
            pack = self.searches[cell].ask()
            if pack is not None:
                self._asked[cell] += 1
                self._search_of[pack.name] = cell
                for trial in pack.trials:
                    self.why(trial, "suggested by the search", True)
                return pack
        return None

    def on_rung(self, pack: Pack, index: int, value: float) -> bool:
        """Take in an evaluation of a running search pack; True to stop it now."""
        cell = self._search_of.get(pack.name)
        return cell is not None and self.searches[cell].rung(pack, index, value)

    def on_done(self, pack: Pack, rows: list[Done]) -> None:
        """Take in a pack's finished rows (one per trial)."""
        self.running.pop(pack.name, None)
        for row in rows:
            if row.status != "pruned":
                self.rows[row.trial_id] = row
            self._states[row.cell].outstanding.discard(row.trial_id)
        cell = self._search_of.get(pack.name)
        if cell is not None:
            self.searches[cell].tell(pack, rows)
        self._maybe_confirm(self._states[pack.trials[0].cell])

    def _maybe_confirm(self, state: _CellState) -> None:
        """Once a cell's own trials are through, queue its best and its default configuration on fresh seeds."""
        search = self.searches.get(state.cell)
        waiting = bool(state.outstanding) or (search is not None and not search.finished)
        if state.confirmed or waiting or not self.plan.study.search.confirm_seeds:
            return
        state.confirmed = True
        own = [row for row in self.rows.values() if row.cell == state.cell.key and row.stage != "confirm"]
        best = best_configuration(row.scored for row in own)
        if best is None:
            return
        default = self.plan.default(state.cell)
        points: list[dict[str, Any]] = [best] if best == default else [best, default]
        self._consider(self.plan.confirm(state.cell, points, self.known))

    @property
    def finished(self) -> bool:
        """Whether nothing is left to start (what runs may still be running)."""
        if self.limit is not None and self.started >= self.limit:
            return True
        if self.queue:
            return False
        if self.plan.study.search.confirm_seeds and self.running:
            return False  # what runs may bring a confirm stage
        return all(search.exhausted for search in self.searches.values())

    @property
    def pending(self) -> int:
        """Trials queued now (a search's and a confirm stage's later ones are not known yet)."""
        return len(self.queue)
