"""One driver to a folder: the second is refused, a dead one's place is taken."""

import dataclasses
import errno
import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.cli.show import status
from finebench.bench.results import lock
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import Owner, claim, live_owner, process_start, read_owner, running_trials
from finebench.bench.util.errors import ResultsError, StorageError
from finebench.bench.util.machine import hostname
from tests.bench.tiny import run_tiny


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    made = ResultsFolder(str(tmp_path))
    made.create()
    return made


WRONG = b'{"host": "a", "pid": 1, "started": "", "token": "t", "at": "now", "stopping": false, "running": {}}'


def ignore(text: str) -> None:
    """Nobody listens."""


def leave(folder: ResultsFolder, **changes: Any) -> Owner:
    """Write down an owner, by default a process of this machine that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    started = process_start(ended.pid)
    ended.wait()
    owner = dataclasses.replace(Owner(hostname(), ended.pid, started, "t", time.time()), **changes)
    folder.write_json(lock.FILE, dataclasses.asdict(owner))
    return owner


def tell(folder: ResultsFolder, token: str, trials: dict[str, list[Any]]) -> None:
    """Write down what a driver says of running trials."""
    folder.write_json(lock.RUNNING, {"token": token, "trials": trials})


def test_the_second_driver_is_refused_with_host_and_pid(folder: ResultsFolder) -> None:
    """And the first one's claim stands."""
    with claim(folder, ignore) as held:
        with (
            pytest.raises(ResultsError, match=rf"in use by another .*host {hostname()}, pid {os.getpid()}"),
            claim(ResultsFolder(folder.root), ignore),
        ):
            pass
        held.check()
        owner = live_owner(folder)
        assert owner is not None
        assert owner.token == held.token
    assert live_owner(folder) is None
    assert read_owner(folder) is None


def test_a_study_in_a_claimed_folder_is_refused_before_it_writes(folder: ResultsFolder) -> None:
    """`run_study` raises what the command line turns into exit code 2."""
    with claim(folder, ignore), pytest.raises(ResultsError, match="in use by another"):
        run_tiny(Path(folder.root))
    assert folder.read_bytes("study.yaml") is None


def test_a_dead_owner_is_replaced_with_a_note(folder: ResultsFolder) -> None:
    """Its heartbeat is fresh, but its process is gone."""
    owner = leave(folder)
    notes: list[str] = []
    with claim(folder, notes.append):
        assert f"pid {owner.pid}) is gone" in notes[0]


def test_a_later_process_with_the_same_pid_is_not_the_owner(folder: ResultsFolder) -> None:
    """Pids are used again; the start time tells them apart."""
    leave(folder, pid=os.getpid())
    with claim(folder, ignore):
        pass


def test_a_zombie_is_dead(folder: ResultsFolder) -> None:
    """A killed driver that its parent has not waited for yet."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    while process_start(child.pid) is not None:
        time.sleep(0.01)
    child.wait()


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps to ask")
def test_without_proc_a_start_has_one_name_in_every_time_zone_and_language(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS: of two drivers one may run in another time zone, and a clock is put back in autumn."""
    monkeypatch.setattr(lock, "_machine", lambda: None)
    found = set()
    for zone, language in (("UTC0", "C"), ("America/New_York", "de_DE.UTF-8"), ("Asia/Tokyo", "ja_JP.UTF-8")):
        monkeypatch.setenv("TZ", zone)
        monkeypatch.setenv("LC_ALL", language)
        monkeypatch.setenv("LC_TIME", language)
        found.add(process_start(os.getpid()))
    assert len(found) == 1
    (started,) = found
    assert started is not None
    then = datetime.strptime(started, "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
    assert abs((datetime.now(UTC) - then).total_seconds()) < 4 * 3600  # in UTC, whatever the zone


@pytest.mark.skipif(shutil.which("ps") is None, reason="there is no ps to ask")
def test_without_proc_too_a_process_that_has_ended_has_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a zombie, nor one that its parent has waited for."""
    monkeypatch.setattr(lock, "_machine", lambda: None)
    child = subprocess.Popen([sys.executable, "-c", ""])
    deadline = time.monotonic() + 30
    while process_start(child.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process_start(child.pid) is None  # a zombie by now
    child.wait()
    assert process_start(child.pid) is None


def test_an_owner_elsewhere_lives_by_its_heartbeat(folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fresh: refused. Old and silent: replaced. Old by its own wrong clock, and beating: refused."""
    leave(folder, host="elsewhere")
    with pytest.raises(ResultsError, match="host elsewhere"), claim(folder, ignore):
        pass
    monkeypatch.setattr(lock, "BEAT", 0.4)
    old = leave(folder, host="elsewhere", at=time.time() - lock.STALE - 1)
    beats = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(lock, "read_owner", lambda f: dataclasses.replace(old, at=old.at + next(beats)))
        with pytest.raises(ResultsError, match="host elsewhere"), claim(folder, ignore):
            pass
    with claim(folder, ignore):
        pass


def test_another_machine_of_the_same_name_is_another_machine(folder: ResultsFolder) -> None:
    """Containers share host names: the boot and the process space tell them apart, so that no pid is looked up here."""
    leave(folder, started="another-boot:4026531836:12345")
    with pytest.raises(ResultsError, match="in use"), claim(folder, ignore):
        pass


def test_a_driver_that_was_taken_for_dead_notices(folder: ResultsFolder) -> None:
    """It stops, and leaves the other's claim alone."""
    with claim(folder, ignore) as held:
        other = leave(folder, host="elsewhere")
        held.beat()
        with pytest.raises(ResultsError, match=r"taken over.*elsewhere"):
            held.check()
    assert read_owner(folder) == other


def test_a_thread_that_outlives_its_run_no_longer_holds_the_folder(folder: ResultsFolder) -> None:
    """A second Ctrl-C does not wait for what an object store keeps waiting."""
    with claim(folder, ignore) as held:
        held.check()
    with pytest.raises(ResultsError, match="has given the folder up"):
        held.check()


def test_a_heartbeat_that_cannot_be_written_is_trouble_in_time(
    folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before others may take the folder over."""
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "STALE", 0.4)

    def full(*arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with claim(folder, ignore) as held:
        monkeypatch.setattr(lock, "_write", full)
        deadline = time.monotonic() + 30
        while held.trouble is None and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(ResultsError, match="heartbeat of this run cannot be written"):
            held.check()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"host": 1}', b"\xff\xfe", WRONG])
def test_a_foreign_or_broken_file_protects_nobody(folder: ResultsFolder, data: bytes) -> None:
    """It is written over."""
    folder.write_bytes(lock.FILE, data)
    with claim(folder, ignore):
        assert live_owner(folder) is not None


def test_status_believes_in_living_drivers_only(tmp_path: Path, folder: ResultsFolder) -> None:
    """Right after a kill nothing is running, and what ran is pending."""
    run_tiny(tmp_path, seeds=3, limit=2)
    cell = {k: v for k, v in status(str(tmp_path))["cells"][0].items() if k in ("task", "method", "fraction", "budget")}
    leave(folder)
    tell(folder, "t", {"x" * 20: list(cell.values())})
    found = status(str(tmp_path))
    assert (found["running"], found["pending"]) == (0, 4)
    started = process_start(os.getpid())
    leave(folder, pid=os.getpid(), started=started)
    found = status(str(tmp_path))
    assert (found["running"], found["pending"]) == (1, 3)
    assert sum(c["running"] for c in found["cells"]) == 1
    tell(folder, "of the driver before", {"x" * 20: list(cell.values())})
    assert status(str(tmp_path))["running"] == 0


def test_what_workers_read_does_not_grow_with_what_runs(folder: ResultsFolder) -> None:
    """A thousand workers read it twice a second; what they do not need stands in a file of its own."""
    place = ["mini-cola", "full", 1.0, '{"epochs": 3}']
    sizes = []
    with claim(folder, ignore) as held:
        for number in (0, 1, 1000):
            held.running = {f"{one:020x}": place for one in range(number)}
            held.beat()
            sizes.append(len(folder.read_bytes(lock.FILE) or b""))
            assert running_trials(folder) == held.running
        assert max(sizes) - min(sizes) < 10  # the time has more or fewer digits
        assert max(sizes) < 500
        held.running = {}
        held.stop()
        assert soon_stopping(folder)
        held.beat()
        assert running_trials(folder) == {}
    assert folder.files("") == ["_driver.lock"]


def soon_stopping(folder: ResultsFolder) -> bool:
    """Whether workers are told to stop, now or within a few heartbeats."""
    until = time.monotonic() + 5 * lock.BEAT
    while time.monotonic() < until:
        if (owner := read_owner(folder)) is not None and owner.stopping:
            return True
        time.sleep(0.02)
    return False


def test_a_stop_is_told_at_once(folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 60.0)
    with claim(folder, ignore) as held:
        held.stop()
        begin = time.monotonic()
        assert soon_stopping(folder)
        assert time.monotonic() - begin < 30


def test_a_stop_waits_for_no_store_in_trouble(folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor fails with it: the first Ctrl-C ends a run in good order. Workers are told once the store is back."""
    back = threading.Event()

    def away(name: str, data: bytes) -> None:
        back.wait(30)
        raise StorageError("the store is away")

    with claim(folder, ignore) as held:
        with monkeypatch.context() as down:
            down.setattr(folder, "write_bytes", away)
            begin = time.monotonic()
            held.stop()
            assert time.monotonic() - begin < 5
            back.set()
        held.check()
        assert soon_stopping(folder)


def test_what_runs_is_written_when_it_has_changed(folder: ResultsFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    write = folder.write_bytes

    def watch(name: str, data: bytes) -> None:
        written.append(name)
        write(name, data)

    with claim(folder, ignore) as held:
        monkeypatch.setattr(folder, "write_bytes", watch)
        for trials in ({}, {"a": ["x"]}, {"a": ["x"]}, {"b": ["x"]}):
            held.running = dict(trials)
            held.beat()
        assert written.count(lock.RUNNING) == 2
        assert written.count(lock.FILE) >= 4


def test_an_older_finebench_still_sees_a_driver_at_work(folder: ResultsFolder) -> None:
    """It takes a claim that does not tell of running trials for a foreign file, and would take the folder over."""
    with claim(folder, ignore):
        assert folder.read_json(lock.FILE)["running"] == {}
    older = leave(folder, host="elsewhere")
    folder.write_json(lock.FILE, dataclasses.asdict(older) | {"running": {"a": ["mini-cola", "full", 1.0, "{}"]}})
    assert read_owner(folder) == older
    assert running_trials(folder) == {}


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_on_a_disk_without_locks_a_claim_is_written_and_read_back(
    folder: ResultsFolder, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a run on another disk has left its lock file."""

    def flock(descriptor: int, how: int) -> None:
        raise OSError(code, os.strerror(code))

    with claim(folder, lambda text: None):
        pass
    monkeypatch.setattr(lock, "SETTLE", 0.01)
    monkeypatch.setattr(fcntl, "flock", flock)
    with claim(folder, lambda text: None):
        assert live_owner(folder) is not None
        with pytest.raises(ResultsError, match="in use by another finebench run"), claim(folder, lambda text: None):
            pass
