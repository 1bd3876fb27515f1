"""One driver to a results folder: RESULTS/_driver.json names the owner, and its heartbeat says that it is alive.

    with claim(folder, note=print) as lock:
        ...                      # lock.check() now and then; other drivers are refused, stale owners taken over

Every worker looks at that file all the time, so that it has the same few bytes however many there are; which trials are
running is told beside it, in RESULTS/_running.json, whenever that has changed.

The claim is exclusive where files can be locked (a lock that the kernel drops with its holder is held while the file
is read and written). An object store and a network disk without locks have no such thing: there a driver writes its
claim, waits `SETTLE` seconds and reads it back, so that of two that start together the later writer wins and the other
is refused; one whose write takes longer than that to arrive is not noticed before its next heartbeat. A driver that
finds another's name in the file (its machine slept, and it was taken for dead) stops: see `Lock.check`. Until then both
may have trained a trial; as ids are hashes of contents, they wrote the same rows.
"""

import json
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.util.errors import ResultsError, StorageError
from finebench.bench.util.file_lock import locked
from finebench.bench.util.machine import hostname

FILE, RUNNING = "_driver.json", "_running.json"

STALE = 60.0
"""Seconds without a heartbeat after which an owner on another machine counts as dead."""

BEAT, BEAT_REMOTE = 2.0, 10.0
"""Seconds between heartbeats: on a disk, and in an object store, where each one is a request."""

SETTLE = 2.0
"""Seconds between writing a claim into an object store and reading it back."""


@dataclass(frozen=True)
class Owner:
    """Who holds a folder. `started` tells a process from a later one with its pid; `token` is new for every run."""

    host: str
    pid: int
    started: str | None
    token: str
    at: float = 0.0
    stopping: bool = False
    where: str = ""

    @classmethod
    def parse(cls, raw: Any) -> "Owner | None":
        """The owner as read from the file; None where the file is not one of ours."""
        kinds: dict[str, Any] = {"host": str, "pid": int, "token": str, "at": (int, float), "stopping": bool}
        if not isinstance(raw, dict) or not all(isinstance(raw.get(name), kind) for name, kind in kinds.items()):
            return None
        started = raw.get("started")
        known = {name: raw[name] for name in kinds} | {"where": str(raw.get("where", ""))}
        return cls(started=None if started is None else str(started), **known)

    @property
    def here(self) -> bool:
        """Whether it runs, or ran, on this machine since it was last started."""
        machine = _machine()
        return self.host == hostname() and (machine is None or str(self.started).startswith(machine))

    @property
    def shown(self) -> str:
        """Host and pid, for people."""
        return f"host {self.host}, pid {self.pid}"


def this_process() -> Owner:
    """This process as an owner, under a token of its own."""
    return Owner(hostname(), os.getpid(), process_start(os.getpid()), uuid.uuid4().hex)


def read_owner(folder: ResultsFolder) -> Owner | None:
    """Who is written down as the folder's driver, dead or alive; None where nobody is."""
    data = folder.read_bytes(FILE)
    try:
        return None if data is None else Owner.parse(json.loads(data))
    except ValueError:  # cut short or foreign: it protects nobody
        return None


def alive(owner: Owner) -> bool:
    """Whether an owner is at work: on this machine by its process, elsewhere by its heartbeat."""
    if owner.here:
        return owner.started == process_start(owner.pid)
    return abs(time.time() - owner.at) <= STALE


def live_owner(folder: ResultsFolder) -> Owner | None:
    """The driver that is at work on a folder now, if any."""
    owner = read_owner(folder)
    return owner if owner is not None and alive(owner) else None


def running_trials(folder: ResultsFolder) -> dict[str, list[Any]]:
    """Cells of the trials in flight, by trial id, as the driver that is at work on a folder last said; none where no
    driver is. Raises ResultsError where it cannot be read."""
    owner = live_owner(folder)
    told = None if owner is None else folder.read_json(RUNNING)
    if owner is None or not isinstance(told, dict) or told.get("token") != owner.token:
        return {}
    trials = told.get("trials")
    return trials if isinstance(trials, dict) else {}


@dataclass
class Lock:
    """A claim that is held; `running` (trial id → cell) and `where` (nodes and slots, in words) are told of it."""

    folder: ResultsFolder
    owner: Owner
    stopping: bool = False
    running: dict[str, list[Any]] = field(default_factory=dict)
    where: str = ""
    trouble: str | None = None
    _told: dict[str, list[Any]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)
    _soon: threading.Event = field(default_factory=threading.Event)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    @property
    def token(self) -> str:
        """What workers compare to know that their driver still holds the folder."""
        return self.owner.token

    def check(self) -> None:
        """Raise ResultsError where the folder is no longer ours, or the heartbeat cannot be written. That goes for a
        thread too which outlives the run that was ended: another driver may hold the folder by then."""
        if self.trouble:
            raise ResultsError(self.trouble)
        if self._ended.is_set():
            raise ResultsError(f"{self.folder.uri}: this run has given the folder up")

    def stop(self) -> None:
        """Tell the workers to write checkpoints and end: by a heartbeat at once, which nobody here waits for."""
        self.stopping = True
        self._soon.set()

    def beat(self) -> None:
        """Write the heartbeat, unless another driver has taken over."""
        with self._writing:
            now = read_owner(self.folder)
            if now is not None and now.token != self.token:
                self.trouble = f"{self.folder.path(FILE)}: another driver has taken over this folder ({now.shown})"
            elif not self._ended.is_set():
                _write(self.folder, self.owner, self.stopping, self.where)
                with suppress(ResultsError, OSError):  # the next beat tries again; the claim stands without
                    self._tell()

    def _tell(self) -> None:
        """Write down what is running, where that is not what was written last."""
        now = self.running  # which the driver replaces, and never changes
        if now != self._told:
            self.folder.write_json(RUNNING, {"token": self.token, "trials": now})
            self._told = now

    def run(self) -> None:
        """Beat until released; a beat that fails is tried again, and is trouble once others may think us dead."""
        every = BEAT if self.folder.local else BEAT_REMOTE
        last = time.monotonic()
        while self.trouble is None:
            self._soon.wait(every)
            self._soon.clear()
            if self._ended.is_set():
                return
            try:
                self.beat()
                last = time.monotonic()
            except (ResultsError, OSError) as error:
                if time.monotonic() - last > STALE / 2:
                    self.trouble = f"the heartbeat of this run cannot be written: {error}"

    def release(self) -> None:
        """Give the folder up; what another driver has written there stays."""
        self._ended.set()
        self._soon.set()
        with self._writing:
            now = read_owner(self.folder)
            if now is not None and now.token == self.token:
                self.folder.delete_all([RUNNING, FILE])


@contextmanager
def claim(folder: ResultsFolder, note: Callable[[str], None]) -> Iterator[Lock]:
    """Hold a folder; raises ResultsError naming the owner where another driver is at work on it."""
    owner = this_process()
    with _alone(folder) as exclusive:
        _refuse_or_take_over(folder, note)
        _write(folder, owner, False)
    if not exclusive:
        time.sleep(SETTLE)
        now = read_owner(folder)
        if now is None or now.token != owner.token:
            raise _refusal(folder, now or owner)
    lock = Lock(folder, owner)
    threading.Thread(target=lock.run, name="finebench-heartbeat", daemon=True).start()
    try:
        yield lock
    finally:
        with suppress(StorageError):  # whoever comes next finds the claim of a dead process, and takes over
            lock.release()


def _refuse_or_take_over(folder: ResultsFolder, note: Callable[[str], None]) -> None:
    there = read_owner(folder)
    if there is None:
        return
    if alive(there) or _beats(folder, there):
        raise _refusal(folder, there)
    note(f"taking over {folder.uri}: its last driver ({there.shown}) is gone")


def _beats(folder: ResultsFolder, there: Owner) -> bool:
    """Watch an owner elsewhere whose heartbeat looks old for a beat or two: its clock may differ from ours."""
    if there.here:
        return False
    end = time.monotonic() + 2.5 * (BEAT if folder.local else BEAT_REMOTE)
    while time.monotonic() < end:
        time.sleep(0.5)
        if read_owner(folder) != there:
            return True
    return False


def _refusal(folder: ResultsFolder, owner: Owner) -> ResultsError:
    return ResultsError(
        f"results folder {folder.uri!r} is in use by another finebench run ({owner.shown}); wait until it has ended, "
        f"stop it, or choose another folder with --results"
    )


def _write(folder: ResultsFolder, owner: Owner, stopping: bool, where: str = "") -> None:
    # a finebench that tells of running trials here takes a file without them for a foreign one
    told = {"at": time.time(), "stopping": stopping, "running": {}, "where": where}
    folder.write_json(FILE, asdict(owner) | told)


@contextmanager
def _alone(folder: ResultsFolder) -> Iterator[bool]:
    """Exclude other claims for the moment of reading and writing; yields False where the storage has no locks."""
    if not folder.local:
        yield False
        return
    path = folder.path("_driver.lock")
    with ExitStack() as stack:
        try:
            alone = stack.enter_context(locked(path))
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
        yield alone


def _machine() -> str | None:
    """What tells this machine since its last start, and this container, from others; None where nothing says so."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}:{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def process_start(pid: int) -> str | None:
    """When a process was started, as a name that no other process has; None where it does not run (any more)."""
    machine = _machine()
    if machine is None:  # not Linux
        return _start_by_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else f"{machine}:{fields[19]}"


def _start_by_ps(pid: int) -> str | None:
    """The same from `ps`, where there is no /proc (macOS): always in one language and time zone. Two drivers may have
    different ones, and with a clock put forward or back a driver would no longer be the one that it was."""
    command = ["ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC0"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    state, _, started = done.stdout.strip().partition(" ")
    return None if state.startswith("Z") else started.strip() or None
