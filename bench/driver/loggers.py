"""`--logger`: every trial that ends, with its evaluations by step, as a run of a tracker
(`finebench.bench.driver.trackers`).

The driver hands a trial over once it is stored, from a thread of its own, to a process of its own
(bench.driver.logger_child): a slow service holds nothing up, what a tracker prints reaches no display, and what it asks
for gets no answer. What cannot be logged, or is more than may wait for a service that is slower than the trials, is a
note to the user; the results folder has it all the same.
"""

import importlib.util
import json
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import astuple
from typing import IO

from finebench.bench.driver.trackers import TRACKERS, tracker
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import Record
from finebench.bench.util import own_python
from finebench.bench.util.doors import Plugin, plugins
from finebench.bench.util.errors import FinebenchError, InputError

Log = Callable[[Record], None]

READY_SECONDS = 60.0
"""How long a tracker may take to be imported and to say whether it could log."""
ANSWER_SECONDS, STOPPED_SECONDS = 120.0, 10.0
"""How long the end of a run waits for what is not logged yet; and that of a run which is told to stop."""
TOLD = 3
"""Trials that a tracker refuses of which each is told; the others are counted."""
END_SECONDS = 5.0
"""How long a tracker may take to end once there is nothing more to log."""

MOST_BYTES, ROW_BYTES = 2**28, 10_000
"""What trials that wait to be logged may take of the driver's memory; and about what each takes beside its tables."""

_CHILD = "finebench.bench.driver.logger_child"


class TrackerError(FinebenchError):
    """The tracker's process did not log, and said why."""


class _Child:
    """The process in which a tracker runs; it has said by now whether it could log."""

    def __init__(self, name: str, study: str, folder: ResultsFolder) -> None:
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as long as the child
        self._process = subprocess.Popen(
            own_python.run_module(_CHILD, name, study, folder.root),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=dict(tracker(name).environment) | own_python.environment(),
            start_new_session=True,  # Ctrl-C is this process's; and a session without a terminal cannot ask for a login
        )
        with suppress(OSError):  # it has died: `ready` says of what
            self._send(json.dumps([astuple(one) for one in _plugins(name)]).encode())

    def ready(self, seconds: float) -> None:
        """Return once it can log; raises TrackerError where it cannot, or has not said so in time."""
        late = threading.Timer(seconds, self._process.kill)
        late.start()
        try:
            self._answer()
        except TrackerError as error:
            raise TrackerError(f"no answer within {seconds:g} s" if late.finished.is_set() else str(error)) from error
        finally:
            late.cancel()

    def log(self, record: Record) -> None:
        """Log one trial; raises TrackerError."""
        try:
            self._send(record.encode())
        except OSError as error:
            raise TrackerError(self._death()) from error
        self._answer()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(len(data).to_bytes(8, "big") + data)
        self._process.stdin.flush()

    def _answer(self) -> None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TrackerError(self._death())
        said = json.loads(line)
        if said is not None:
            raise TrackerError(said)

    def _death(self) -> str:
        code = self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines()
        return f"its process ended with code {code}" + (f": {lines[-1][:300]}" if lines else "")

    def close(self) -> None:
        """Let it end, and end it where it does not; what it has not logged by now it will not."""
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()


def _plugins(name: str) -> list[Plugin]:
    """The plugin that a tracker comes from, if it does."""
    return [one for one in plugins() if one.hash == TRACKERS.code(name)]


def check_tracker(name: str | None, study: str, folder: ResultsFolder) -> None:
    """Raise InputError where a tracker could not log: its package, its place, its login or its server is missing."""
    if name is None:
        return
    kind = tracker(name)
    if importlib.util.find_spec(kind.package) is None:
        install = f"'{kind.install}'" if kind.install else kind.package
        raise InputError(f"--logger {name}: the package {kind.package} is not installed; pip install {install}")
    if kind.local_files and not folder.local:
        raise InputError(
            f"--logger {name}: its files stand in RESULTS/{kind.local_files}, and {folder.uri!r} is no local path; "
            "give --results a path, or choose another logger"
        )
    child = _Child(name, study, folder)
    try:
        child.ready(READY_SECONDS)
    except TrackerError as error:
        raise InputError(f"--logger {name}: it cannot log: {error}{kind.mend and f'; {kind.mend}'}") from error
    finally:
        child.close()


@contextmanager
def tracking(name: str | None, study: str, folder: ResultsFolder, note: Callable[[str], None]) -> Iterator[Log]:
    """Yields what takes in each record as it is stored; at the end all of them have been logged, or a note says how
    many were not."""
    if name is None:
        yield lambda record: None
        return
    child, given_up = _Child(name, study, folder), threading.Event()
    refused = 0
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="finebench-tracker") as pool:
        first = pool.submit(child.ready, READY_SECONDS)

        def log(record: Record) -> None:
            nonlocal refused
            try:
                first.result()
                child.log(record)
            except TrackerError as error:
                if given_up.is_set():  # it is counted already, and its process was ended by `close`
                    return
                refused += 1
                if refused <= TOLD:  # a tracker that has died refuses all that follow
                    note(f"{record.trial['trial_id']}: --logger {name}: not logged: {error}")

        line = _Line(pool, log, lambda text: note(f"--logger {name}: {text}"))
        patience = STOPPED_SECONDS
        try:
            yield line.add
            patience = ANSWER_SECONDS
        finally:
            if line.late(patience):
                given_up.set()
            if refused > TOLD:
                note(f"--logger {name}: {refused} trials were not logged, the first {TOLD} for the reasons above")
            pool.shutdown(wait=False, cancel_futures=True)
            child.close()


class _Line:
    """Trials that a tracker has yet to log, in the order in which they ended; as many as memory is meant for."""

    def __init__(self, pool: ThreadPoolExecutor, log: Log, note: Callable[[str], None]) -> None:
        self._pool, self._log, self._note = pool, log, note
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._bytes = self._left_out = 0

    def add(self, record: Record) -> None:
        """Have a trial logged, or leave it out where there is no room for it."""
        while self._waiting and self._waiting[0][0].done():
            logged, size = self._waiting.popleft()
            logged.result()
            self._bytes -= size
        size = record.nbytes + ROW_BYTES
        if self._waiting and self._bytes + size > MOST_BYTES:
            if not self._left_out:
                self._note(
                    f"it takes longer than trials do; {len(self._waiting)} wait for it, and what ends before it has "
                    "caught up is not logged"
                )
            self._left_out += 1
            return
        self._waiting.append((self._pool.submit(self._log, record), size))
        self._bytes += size

    def late(self, patience: float) -> int:
        """How many are not logged within so many seconds; a note says it, and how many were left out before."""
        if self._left_out:
            self._note(f"{self._left_out} trials were not logged, because it took longer than they did")
        logged, late = wait([one for one, _ in self._waiting], patience)
        for one in logged:
            one.result()
        if late:
            self._note(f"{len(late)} trials were not logged within {patience:g} s of the run's end")
        return len(late)
