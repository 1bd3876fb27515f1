"""`finebench status --watch`: what is shown of a run that goes on elsewhere, and when the watching ends."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.text import Text

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.terminal.watch import Driver, Watch
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import FILE, STALE, Owner, claim, this_process
from tests.bench.tiny import run_tiny

ELSEWHERE = replace(this_process(), host="far", started="boot:1:2")


def beat(folder: ResultsFolder, at: float, where: str = "", owner: Owner = ELSEWHERE) -> None:
    """Write a heartbeat as a driver on another machine does, by its own clock."""
    folder.write_json(FILE, asdict(owner) | {"at": at, "where": where})


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """An empty results folder."""
    made = ResultsFolder(str(tmp_path))
    made.create()
    return made


def play(folder: ResultsFolder, *steps: Callable[[], Any]) -> Watch:
    """A watch of a folder in which these things happen between two looks; what is counted are the looks."""
    looks, after = [0], iter(steps)

    def look() -> dict[str, Any]:
        looks[0] += 1
        return {"ok": looks[0] // 2}

    def wait(seconds: float) -> None:
        assert seconds >= 2.0
        next(after)()

    return Watch(folder, look, lambda found: f"{found['ok']} ok", lambda found: [Text("a table")], wait)


def test_a_line_for_each_change_until_the_run_ends(folder: ResultsFolder) -> None:
    beat(folder, 1.0, "2 nodes, 2 slots in use, 0 packs waiting")
    said: list[str] = []
    again = lambda at: lambda: beat(folder, at, "2 nodes, 2 slots in use, 0 packs waiting")  # noqa: E731
    play(folder, again(2.0), again(3.0), lambda: folder.delete(FILE)).piped(said.append)
    assert [line.partition(" ")[2] for line in said] == [
        "0 ok; 2 nodes, 2 slots in use, 0 packs waiting",
        "1 ok; 2 nodes, 2 slots in use, 0 packs waiting",
        "2 ok; the run has ended",
    ]


def test_a_document_for_each_change(folder: ResultsFolder) -> None:
    beat(folder, 1.0, "1 node, 1 slot in use, 0 packs waiting")
    said: list[dict[str, Any]] = []
    play(folder, lambda: beat(folder, 2.0), lambda: folder.delete(FILE)).as_json(said.append)
    assert said == [
        {"ok": 0, "where": "1 node, 1 slot in use, 0 packs waiting", "ended": None},
        {"ok": 1, "where": "", "ended": None},
        {"ok": 1, "where": "", "ended": "the run has ended"},
    ]


def test_a_terminal_is_redrawn_and_keeps_the_last(folder: ResultsFolder) -> None:
    beat(folder, 1.0)
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    play(folder, lambda: folder.delete(FILE)).on_terminal(console)
    said = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert said.index("0 ok") < said.index("the run has ended") < said.rindex("a table")


def interrupt() -> None:
    raise KeyboardInterrupt


def test_ctrl_c_ends_the_watching_alone(folder: ResultsFolder) -> None:
    beat(folder, 1.0)
    said: list[str] = []
    play(folder, interrupt).piped(said.append)
    assert len(said) == 1
    assert folder.read_bytes(FILE) is not None


def test_a_driver_elsewhere_lives_by_its_heartbeat_whatever_its_clock(folder: ResultsFolder) -> None:
    now = [0.0]
    driver = Driver(folder, lambda: now[0])
    for at in (-9e9, -9e9 + 2):  # an hour, or a century behind
        beat(folder, at)
        assert driver.ended() is None
        now[0] += STALE
    assert driver.ended() is None
    now[0] += 1
    assert driver.ended() == f"its driver (host far, pid {ELSEWHERE.pid}) has not been heard of for 61 s"


def test_a_driver_here_that_was_killed_is_gone_at_once(folder: ResultsFolder) -> None:
    beat(folder, 1.0, owner=replace(this_process(), pid=2**22 + 1))
    assert str(Driver(folder).ended()).endswith(") is gone")


def test_a_real_driver_is_seen_to_begin_and_to_end(folder: ResultsFolder) -> None:
    driver = Driver(folder)
    assert driver.ended() == "no run is at work on it"
    with claim(folder, lambda note: None) as lock:
        lock.where = "3 nodes, 1 slot in use, 0 packs waiting"
        lock.beat()
        assert driver.ended() is None
        assert driver.where == "3 nodes, 1 slot in use, 0 packs waiting"
    assert driver.ended() == "the run has ended"


def test_the_command_ends_where_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_tiny(tmp_path)
    capsys.readouterr()
    assert guarded(lambda: app(["status", "--watch", str(tmp_path)], standalone_mode=False)) == 0
    [line] = capsys.readouterr().out.splitlines()
    assert " 2 planned, 2 ok, " in line
    assert line.endswith("; no run is at work on it")
    assert guarded(lambda: app(["status", str(tmp_path), "--watch", "--json"], standalone_mode=False)) == 0
    [document] = capsys.readouterr().out.splitlines()
    found = json.loads(document)
    assert (found["planned"], found["ok"], found["ended"]) == (2, 2, "no run is at work on it")
