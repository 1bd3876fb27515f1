"""Counts of a run's trials by cell, kept from what the run reports, and where they run."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from finebench.bench.results.folder import KEPT, Done, done_of
from finebench.bench.scheduling.node_speeds import NodeSpeeds
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Plan
from finebench.bench.study.selection import select
from finebench.bench.study.trial_id import CellKey
from finebench.bench.training.worker.messages import Pack


@dataclass
class CellProgress:
    """One cell's counts, and its `select` scores by configuration and seed: what a choice may see of it."""

    planned: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    selects: dict[str, dict[int, float]] = field(default_factory=dict)

    def saw(self, one: Done) -> None:
        """Take in a trial's `select` score: of a whole run, where it has one, on seeds that choose."""
        score = math.nan if one.select_score is None else one.select_score
        if one.stage != "confirm" and one.status in KEPT and math.isfinite(score):
            self.selects.setdefault(one.configuration, {})[one.seed] = score

    @property
    def best(self) -> float | None:
        """The mean `select` score of the configuration that would be chosen now.

        Never a held-out score: the maximum of those over configurations and seeds is nobody's result.
        """
        chosen = select(self.selects)
        return None if chosen is None else chosen.mean


@dataclass
class Tally:
    """Counts over all cells, kept from what the sweep reports."""

    cells: dict[CellKey, CellProgress] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    finished: int = 0
    running: dict[str, CellKey] = field(default_factory=dict)
    spared: Mapping[CellKey, int] = field(default_factory=dict)
    there: Mapping[CellKey, int] = field(default_factory=dict)
    slots: str | None = None
    speeds: NodeSpeeds = field(default_factory=NodeSpeeds)

    @classmethod
    def of(cls, plan: Plan, scheduler: Scheduler) -> "Tally":
        """Start from what the plan asks for and what the folder already holds."""
        tally = cls(spared=scheduler.spared, there=scheduler.there)
        for count in plan.counts():
            cell = tally.cells.setdefault(count.cell.key, CellProgress())
            cell.planned += count.planned
        for row in scheduler.rows.values():
            if row.cell in tally.cells:
                tally.cells[row.cell].saw(row)
        return tally

    @property
    def planned(self) -> int:
        """Trials planned in all, without those that turned out not to be needed."""
        return sum(map(self.planned_in, self.cells))

    def planned_in(self, key: CellKey) -> int:
        """The same of one cell."""
        return self.cells[key].planned - self.spared.get(key, 0)

    @property
    def done(self) -> int:
        """Trials that have a result."""
        return sum(map(self.done_in, self.cells))

    def done_in(self, key: CellKey) -> int:
        """The same of one cell, earlier runs' included; a later look may find more of those."""
        return self.cells[key].done + self.there.get(key, 0)

    @property
    def failed(self) -> int:
        """Trials that failed in this run."""
        return sum(cell.failed for cell in self.cells.values())

    def start(self, pack: Pack) -> None:
        """Count a pack as running."""
        for trial in pack.trials:
            if trial.id not in self.running:  # a retried pack starts again
                self.running[trial.id] = trial.cell
                self.cells[trial.cell].running += 1

    def end(self, row: dict[str, Any]) -> CellProgress:
        """Count a trial as ended."""
        key = (row["task"], row["method"], row["fraction"], row["budget"])
        cell = self.cells[key]
        if self.running.pop(row["trial_id"], None):
            cell.running -= 1
        self.finished += 1
        if row["status"] in ("ok", "diverged", "pruned"):
            cell.done += 1
        else:
            cell.failed += 1
        cell.saw(done_of(row))
        self.speeds.observe(row)
        return cell

    @property
    def where(self) -> str:
        """Nodes and slots of a cluster and its slowest node, in words; empty on one machine."""
        if self.slots is None:
            return ""
        slow = self.speeds.slowest()
        return "; ".join(filter(None, [self.slots, slow.words if slow else ""]))

    @property
    def idle(self) -> bool:
        """Whether no trial has started yet in this run."""
        return not self.running and not self.finished

    def eta(self) -> float | None:
        """Seconds left at this run's pace; None before anything has finished."""
        left = self.planned - self.done - self.failed
        if not self.finished or left <= 0:
            return None
        return (time.monotonic() - self.started) / self.finished * left
