"""Live progress of a run: a map of cells with counts, select scores and ETA on a terminal; plain lines when piped."""

import time
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from finebench.bench.cli.terminal.tally import Tally
from finebench.bench.cli.terminal.waiting import Waiting
from finebench.bench.scheduling.node_speeds import slots_words
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.parts.budget import budget_words
from finebench.bench.study.plan import Plan
from finebench.bench.study.trial_id import CellKey
from finebench.bench.training.worker.messages import Pack

PLAIN_EVERY_SECONDS = 10.0
MOST_ROWS = 40

KEY = "done/planned, and on select: the mean over its seeds of the best configuration so far"
"""What a place of the map says."""


def clock(seconds: float | None) -> str:
    """Seconds as 1:02:03 or 2:03; a question mark where unknown."""
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Counted(Observer):
    """What both displays keep alike."""

    tally: Tally

    def on_slots(self, nodes: int, in_use: int, waiting: int) -> None:
        """Keep it for the next line."""
        self.tally.slots = slots_words(nodes, in_use, waiting)


class PlainProgress(Counted):
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
        if self.tally.slots is not None:
            self.tally.slots = ""  # none is in use
        self.console.print(Text(self._line()), soft_wrap=True)

    def _line(self) -> str:
        t = self.tally
        return (
            f"{t.done}/{t.planned} trials done, {len(t.running)} running, {t.failed} failed, "
            f"{clock(time.monotonic() - t.started)} elapsed, {clock(t.eta())} left"
            + (f"; {t.where}" if t.where else "")
        )


class LiveProgress(Counted):
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
        key, where = Text(KEY, "dim"), [Text(t.where)] if t.where else []
        notes = [Text(note, "yellow") for note in self.notes[-3:]]
        return Group(head, *where, cell_map(t, self.console.height - 7 - len(where)), key, *notes)


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
