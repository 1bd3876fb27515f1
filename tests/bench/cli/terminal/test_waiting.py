"""Before the first trial a run says what it waits for: on a terminal at once, elsewhere where it takes long."""

import io
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from finebench.bench.cli.terminal import waiting
from finebench.bench.cli.terminal.progress import LiveProgress, PlainProgress
from finebench.bench.cli.terminal.waiting import Waiting
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.scheduling.recorder import Observer
from tests.bench.cli.terminal.test_progress import started
from tests.bench.tiny import tiny_study


def piped() -> Console:
    return Console(file=io.StringIO(), width=120, force_terminal=False)


def terminal() -> Console:
    return Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system=None)


def text(console: Console) -> str:
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_piped_output_gets_a_line_for_what_takes_long_and_none_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "EVERY_SECONDS", 0.05)
    console = piped()
    one = Waiting(console)
    one.tell("loading the data")
    until(lambda: "loading the data (0 s so far)" in text(console))
    one.tell("starting Ray")
    until(lambda: "starting Ray (0 s so far)" in text(console))
    one.stop()
    before = text(console)
    time.sleep(0.2)
    assert text(console) == before


def test_piped_output_gets_nothing_for_what_is_short() -> None:
    console = piped()
    one = Waiting(console)
    one.tell("loading the data")
    one.stop()
    assert text(console) == ""


def test_a_terminal_is_told_at_once_and_left_as_it_was() -> None:
    console = terminal()
    one = Waiting(console)
    one.tell("loading the data")
    until(lambda: "loading the data" in text(console))
    one.stop()
    assert text(console).endswith("\x1b[2K")  # the line is erased


def test_the_progress_line_says_what_the_first_trial_waits_for() -> None:
    tally, scheduler = started()
    console = terminal()
    live = LiveProgress(tally, console)
    live.on_wait("starting Ray")
    live.live.refresh()
    assert "starting Ray" in text(console)
    pack = scheduler.next_pack()
    assert pack is not None
    live.on_start(pack)
    before = len(text(console))
    live.live.refresh()
    assert "starting Ray" not in text(console)[before:]
    live.close()


def test_plain_lines_say_so_until_the_first_trial_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "EVERY_SECONDS", 0.05)
    tally, scheduler = started()
    console = piped()
    plain = PlainProgress(tally, console)
    plain.on_wait("starting Ray")
    until(lambda: "starting Ray" in text(console))
    pack = scheduler.next_pack()
    assert pack is not None
    plain.on_start(pack)
    before = text(console)
    plain.on_wait("measuring how fast a step is")  # of a later cell, while trials run
    time.sleep(0.2)
    assert text(console) == before
    plain.close()


class Waits(Observer):
    """Writes down what is waited for, and when the first trial starts."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def on_wait(self, text: str) -> None:
        self.said.append(text)

    def on_start(self, pack: object) -> None:
        self.said.append("started")


def test_a_run_says_each_thing_that_it_waits_for(tmp_path: Path) -> None:
    observer = Waits()
    options = RunOptions(str(tmp_path / "r"), debug=True)
    run_study(
        tiny_study(), options, lambda scheduler: observer, lambda trial, reason, runs: None, waits=observer.said.append
    )
    first = observer.said.index("started")
    assert [said.split(" ")[0] for said in observer.said[:first]] == [
        "looking", "asking", "loading", "trying", "reading", "loading",
    ]  # fmt: skip
    assert set(observer.said[first:]) == {"started"}
