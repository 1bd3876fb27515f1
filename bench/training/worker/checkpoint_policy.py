"""When a trial's state is written to RESULTS/checkpoints, and how a worker learns that its driver wants it to stop.

Workers look at RESULTS/_driver.json now and then: the driver's token there says that the folder is reached and still
the driver's, `stopping` that a checkpoint is wanted now. An object store is looked at beside the training, which never
waits for it: a trial whose RESULTS cannot be reached trains on, without checkpoints, and the user is told once a node.
"""

import os
import threading
import time
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import read_owner
from finebench.bench.training.worker.messages import Shipment
from finebench.bench.util.errors import FinebenchError, ResultsError
from finebench.bench.util.machine import hostname

FOLDER = "checkpoints"

LOOK, LOOK_REMOTE = 0.5, 10.0
"""Seconds between looks at the driver's file: on a disk (50 µs each), and in an object store (a request each)."""

FIRST_LOOK = 5.0
"""Seconds that a pack waits for its first look at an object store: a checkpoint may be there to go on from."""

SHORT = 5.0
"""Seconds for which a worker asks an object store in trouble again, for a checkpoint or a delta."""

AFTER_TROUBLE = 60.0
"""Seconds without a look after one that failed."""

MOST_OF_TIME = 0.02
"""Share of a trial's time that periodic checkpoints may take."""


class Stopped(FinebenchError):
    """The run has been told to end; where its state could be written, it has been."""


class Watch:
    """What a process knows of its driver. `asked` tells a stop to a trial in the driver's own process."""

    def __init__(self, shipment: Shipment, asked: Callable[[], bool] = lambda: False) -> None:
        self.every, self.asked, self._token = shipment.checkpoint_seconds, asked, shipment.run
        self.folder = ResultsFolder(shipment.results) if shipment.run else None
        if self.folder is not None:
            self.folder.patience = lambda: SHORT
        self.reached = False
        self.notes: list[str] = []
        self._stop = self._lost = self._down = False
        self._next = self._write_after = 0.0
        self._looking: threading.Thread | None = None

    def begin(self) -> None:
        """Look anew: a pack begins. A store that was in trouble a moment ago is not waited for again."""
        self._stop = self._lost = self.reached = False
        if self._down and time.monotonic() < self._next:
            return
        self._next, self._down = 0.0, False
        self._look()
        if self._looking is None:
            return
        self._looking.join(FIRST_LOOK)
        if self._looking.is_alive():
            self.notes.append(
                f"node {hostname()} has had no answer from RESULTS for {FIRST_LOOK:g} s: trials that left a checkpoint "
                "begin anew"
            )

    @property
    def stopping(self) -> bool:
        """Whether the driver wants its trials to end."""
        self._look()
        return self._stop or self._lost or self.asked()

    @property
    def mine(self) -> bool:
        """Whether checkpoints may be read and written: RESULTS is reached and still this driver's."""
        return self.reached and not self._lost and not self._down

    @property
    def writable(self) -> bool:
        """Whether one may be written now: the last try did not fail a moment ago, or it is the last chance."""
        return self.mine and (time.monotonic() >= self._write_after or self._stop or self.asked())

    def trouble(self, error: Exception) -> None:
        """A checkpoint could not be written or read: no reason to end a trial, nor to try again soon."""
        self._write_after = time.monotonic() + AFTER_TROUBLE
        if self.folder is not None and not self.folder.local:
            self.notes.append(
                f"node {hostname()} cannot use checkpoints in RESULTS; it tries again in {AFTER_TROUBLE:g} s: {error}"
            )

    def _look(self) -> None:
        now = time.monotonic()
        if self.folder is None or now < self._next or (self._looking is not None and self._looking.is_alive()):
            return
        self._next = now + (LOOK if self.folder.local else LOOK_REMOTE)
        if self.folder.local:
            self._ask(self.folder)
        else:
            self._looking = threading.Thread(
                target=self._ask, args=(self.folder,), name="finebench-results", daemon=True
            )
            self._looking.start()

    def _ask(self, folder: ResultsFolder) -> None:
        try:
            owner = read_owner(folder)
        except (ResultsError, OSError) as error:
            self._unreached(folder, error)
            return
        self._down = False
        if owner is not None and owner.token == self._token:
            self.reached, self._stop = True, owner.stopping
        elif self.reached:
            self._lost = True

    def _unreached(self, folder: ResultsFolder, error: Exception) -> None:
        """RESULTS cannot be reached now. A disk costs nothing to ask again; a store is left alone for a while."""
        if not self._down:
            self.notes.append(
                f"node {hostname()} cannot reach RESULTS, so its trials write no checkpoints, and begin anew after a "
                f"stop: {error}"
            )
        self._down = True
        if not folder.local:
            self._next = time.monotonic() + AFTER_TROUBLE


@dataclass
class TrialKeeper:
    """Writes one trial's checkpoints. `encode` gives the state's bytes; `aside` keeps the cost out of the trial's;
    `together` trials of one process write theirs, and may take their share of its time between them."""

    watch: Watch
    trial_id: str
    encode: Callable[[], bytes]
    aside: Callable[[], AbstractContextManager[None]]
    note: Callable[[str], None]
    together: int = 1
    last: float = field(default_factory=time.monotonic)
    cost: float = 0.0

    def due(self) -> bool:
        """Every `watch.every` seconds (0: at every step), rarer where it takes long; at once when the run is to
        stop."""
        if self.watch.stopping:
            return True
        every = max(self.watch.every, self.together * self.cost / MOST_OF_TIME) if self.watch.every else 0.0
        return self.watch.writable and time.monotonic() - self.last >= every

    def save(self) -> None:
        """Write the state; raises Stopped where the run is to stop."""
        folder, begin = self.watch.folder, time.monotonic()
        if folder is not None and self.watch.writable:
            with self.aside():
                try:
                    folder.write_bytes(file(self.trial_id), self.encode())
                except (ResultsError, OSError) as error:
                    self.note(f"{self.trial_id}: no checkpoint: {error}")
                    self.watch.trouble(error)
        self.last = time.monotonic()
        self.cost = self.last - begin
        if self.watch.stopping:
            raise Stopped("the run was told to stop")


def file(trial_id: str) -> str:
    """Where a trial's checkpoint stands in the results folder."""
    return f"{FOLDER}/{trial_id}.safetensors"


def forget(folder: ResultsFolder, trials: Collection[str]) -> None:
    """Delete checkpoints of trials that are stored. An object store is asked once which there are: few trials have
    one, and to delete what is not there takes a request too."""
    names = {file(one) for one in trials}
    if not folder.local:
        names &= {f"{FOLDER}/{name}" for name in folder.files(FOLDER)}
    folder.delete_all(sorted(names))


def clear(folder: ResultsFolder, done: set[str]) -> None:
    """Delete what is of no use: half-written files, and checkpoints of trials whose rows are there."""
    for name in folder.files(FOLDER):
        if name.startswith("_") or name.partition(".")[0] in done:
            folder.delete(f"{FOLDER}/{name}")
    if folder.local:
        with suppress(OSError):  # not there, or not empty
            os.rmdir(folder.path(FOLDER))
