"""Live progress of a run: a map of cells with counts, select scores and ETA on a terminal; plain lines when piped."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finebench.bench.cli.terminal.waiting import Waiting
from finebench.bench.results.folder import KEPT, Done, done_of
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.parts.budget import budget_words
from finebench.bench.study.plan import Plan
from finebench.bench.study.selection import select
from finebench.bench.study.trial_id import CellKey
from finebench.bench.training.worker.messages import Pack

PLAIN_EVERY_SECONDS = 10.0
MOST_ROWS = 40

KEY = "done/planned, and on select: the mean over its seeds of the best configuration so far"
"""What a place of the map says."""


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
        return cell

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


def clock(seconds: float | None) -> str:
    """Seconds as 1:02:03 or 2:03; a question mark where unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class PlainProgress(Observer):
    """A line every ten seconds, and one for each failure."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally, self.console = tally, console
        self.last = time.monotonic()
        self.waiting = Waiting(console)

    def on_start(self, pack: Pack) -> None:
        """Count it."""
        self.waiting.stop()
        self.tally.start(pack)

    def on_wait(self, text: str) -> None:
        """Say so every ten seconds, until a trial starts."""
        if self.tally.idle:
            self.waiting.tell(text)

    def on_row(self, row: dict[str, Any]) -> None:
        """Count it; say so where it failed."""
        self.tally.end(row)
        if row["status"] not in ("ok", "pruned"):
            self.console.print(Text(failure_line(row)), soft_wrap=True)

    def on_data(self, text: str) -> None:
        """Print it."""
        self.console.print(Text(text), soft_wrap=True)

    def on_note(self, text: str) -> None:
        """Print it."""
        self.console.print(Text(f"note: {text}"), soft_wrap=True)

    def tick(self) -> None:
        """Print a line now and then."""
        if not self.waiting.speaks and time.monotonic() - self.last >= PLAIN_EVERY_SECONDS:
            self.last = time.monotonic()
            self.console.print(Text(self._line()), soft_wrap=True)

    def close(self) -> None:
        """Print the last line."""
        self.waiting.stop()
        self.console.print(Text(self._line()), soft_wrap=True)

    def _line(self) -> str:
        t = self.tally
        return (
            f"{t.done}/{t.planned} trials done, {len(t.running)} running, {t.failed} failed, "
            f"{clock(time.monotonic() - t.started)} elapsed, {clock(t.eta())} left"
        )


class LiveProgress(Observer):
    """A table of cells that is redrawn in place."""

    def __init__(self, tally: Tally, console: Console) -> None:
        self.tally, self.console = tally, console
        self.notes: list[str] = []
        self.waits = ""
        self.live = Live(get_renderable=self._render, console=console, refresh_per_second=2, transient=True)
        self.live.start()

    def on_start(self, pack: Pack) -> None:
        """Count it."""
        self.tally.start(pack)

    def on_row(self, row: dict[str, Any]) -> None:
        """Count it; keep the last failures in view."""
        self.tally.end(row)
        if row["status"] not in ("ok", "pruned"):
            self.notes.append(failure_line(row))

    def on_data(self, text: str) -> None:
        """Print it above the table."""
        self.console.print(Text(text), soft_wrap=True)

    def on_note(self, text: str) -> None:
        """Keep it in view."""
        self.notes.append(text)

    def on_wait(self, text: str) -> None:
        """Show it until a trial starts."""
        self.waits = text

    def close(self) -> None:
        """Leave the terminal as it was, notes printed for good."""
        self.live.stop()
        for note in self.notes:
            self.console.print(Text(note), soft_wrap=True)

    def _render(self) -> RenderableType:
        t = self.tally
        head = Text.assemble(
            (f"{t.done}/{t.planned}", "bold"),
            f" trials · {len(t.running)} running · {t.failed} failed · "
            f"{clock(time.monotonic() - t.started)} elapsed · "
            + (f"{clock(t.eta())} left" if self.waits == "" or not t.idle else self.waits),
        )
        key = Text(KEY, "dim")
        notes = [Text(note, "yellow") for note in self.notes[-3:]]
        return Group(head, cell_map(t, self.console.height - 7), key, *notes)


def failure_line(row: dict[str, Any]) -> str:
    """One line for a trial that did not end ok."""
    what = f"{row['task']} {row['method']} fraction {row['fraction']:g} lr {row['lr']:g} seed {row['seed']}"
    return f"{row['status']}: {what}: {row['reason']} ({row['trial_id']})"


def cell_map(tally: Tally, height: int) -> Table:
    """Tasks × fractions × budgets down, methods across; each place shows done/planned and the best select score."""
    methods = list(dict.fromkeys(key[1] for key in tally.cells))
    rows = list(dict.fromkeys((key[0], key[2], key[3]) for key in tally.cells))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task")
    table.add_column("fraction", justify="right")
    budgets = len({budget for _, _, budget in rows}) > 1
    if budgets:
        table.add_column("budget")
    for name in methods:
        table.add_column(name, justify="right")
    shown = rows[: max(4, min(MOST_ROWS, height))]
    for task, fraction, budget in shown:
        places = [_place(tally, (task, name, fraction, budget)) for name in methods]
        table.add_row(task, f"{fraction:g}", *([budget_words(budget)] if budgets else []), *places)
    if len(shown) < len(rows):
        table.add_row(f"… {len(rows) - len(shown)} more", "")
    return table


def _place(tally: Tally, key: CellKey) -> Text:
    cell = tally.cells.get(key)
    if cell is None:
        return Text("")
    planned = tally.planned_in(key)
    done = tally.done_in(key)
    style = "green" if done >= planned else "cyan" if cell.running else "dim"
    best = "" if cell.best is None else f" {cell.best:.3f}"
    failed = f" !{cell.failed}" if cell.failed else ""
    return Text(f"{done}/{planned}{failed}{best}", style="red" if cell.failed else style)


def make_progress(plan: Plan, scheduler: Scheduler, console: Console) -> Observer:
    """Live on a terminal, plain otherwise."""
    tally = Tally.of(plan, scheduler)
    return LiveProgress(tally, console) if console.is_terminal else PlainProgress(tally, console)
