"""`finebench status --watch`: a folder's counts as they change, until the run that writes into it ends.

All is read from the folder, which may lie anywhere: the run may be on another machine.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import BEAT, BEAT_REMOTE, STALE, Owner, alive, read_owner

PART = 10.0
"""Times as long as a look took until the next one, at least: of a large folder far away, looking is work."""


@dataclass
class Driver:
    """Whether a folder's driver is at work, by its heartbeat alone: clocks of two machines may differ by more than the
    time after which it counts as dead."""

    folder: ResultsFolder
    clock: Callable[[], float] = time.monotonic
    owner: Owner | None = None
    _heard: float = field(default=0.0, init=False)

    def ended(self) -> str | None:
        """Why nothing more is to be seen; None while the driver is at work."""
        before, now = self.owner, read_owner(self.folder)
        if now is None:
            return "no run is at work on it" if before is None else "the run has ended"
        self.owner = now
        if before is None or (now.token, now.at) != (before.token, before.at):
            self._heard = self.clock()
        if now.here:
            return None if alive(now) else f"its driver ({now.shown}) is gone"
        silent = self.clock() - self._heard
        return None if silent <= STALE else f"its driver ({now.shown}) has not been heard of for {silent:.0f} s"

    @property
    def where(self) -> str:
        """What it says of its nodes and slots; empty where it says nothing."""
        return self.owner.where if self.owner is not None else ""


@dataclass
class Watch:
    """What is looked at and how it is shown: `look` counts, `head` and `lines` word what it found."""

    folder: ResultsFolder
    look: Callable[[], dict[str, Any]]
    head: Callable[[dict[str, Any]], str]
    lines: Callable[[dict[str, Any]], list[Text]]
    wait: Callable[[float], None] = time.sleep

    def on_terminal(self, console: Console) -> None:
        """Redraw in place until the run ends, or Ctrl-C."""
        with Live(console=console, auto_refresh=False) as live:

            def show(found: dict[str, Any], where: str, ended: str | None) -> None:
                head = [self.head(found), where if ended is None else "", ended or ""]
                shown = Group(*(Text(line) for line in head if line), *self.lines(found))
                live.update(shown, refresh=True)

            self._until_ended(show)

    def piped(self, say: Callable[[str], None]) -> None:
        """A line for each change, with the time of day."""
        said = ""

        def show(found: dict[str, Any], where: str, ended: str | None) -> None:
            nonlocal said
            line = "; ".join(filter(None, [self.head(found), where if ended is None else "", ended]))
            if line != said:
                say(f"{datetime.now():%H:%M:%S} {line}")
                said = line

        self._until_ended(show)

    def as_json(self, say: Callable[[dict[str, Any]], None]) -> None:
        """A document for each change: the counts, what the driver says of its nodes (`where`), and why it is the last
        one (`ended`)."""
        said: dict[str, Any] = {}

        def show(found: dict[str, Any], where: str, ended: str | None) -> None:
            nonlocal said
            now = found | {"where": where if ended is None else "", "ended": ended}
            if now != said:
                say(now)
                said = now

        self._until_ended(show)

    def _until_ended(self, show: Callable[[dict[str, Any], str, str | None], None]) -> None:
        """Look and show, whether the driver is at work being asked first: what it last wrote is then seen."""
        driver, every = Driver(self.folder), BEAT if self.folder.local else BEAT_REMOTE
        try:
            while True:
                begin = time.monotonic()
                ended = driver.ended()
                show(self.look(), driver.where, ended)
                if ended is not None:
                    return
                self.wait(max(every, PART * (time.monotonic() - begin)))
        except KeyboardInterrupt:
            return  # the run goes on, and may be watched again
