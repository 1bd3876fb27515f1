"""Takes in finished records: has them stored, tells the scheduler and the observers."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from finebench.bench.results.folder import Done, ResultsFolder, done_of
from finebench.bench.results.lock import Lock
from finebench.bench.results.record import Record
from finebench.bench.results.writer import Writer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.scheduling.write_queue import WriteQueue
from finebench.bench.training.worker.checkpoint_policy import forget
from finebench.bench.training.worker.messages import Pack

EVERY = 0.25
"""Seconds from one batch to the next in an object store: what ends meanwhile is stored together. There each request
costs money, and a reader far away needs two listings between which nothing has changed."""

LAST_WORDS = 10.0
"""Seconds for which a run that is interrupted, or ends by an error, asks a store in trouble again for its last rows."""


class Observer:
    """Watches a sweep; the progress displays override what they show."""

    def on_start(self, pack: Pack) -> None:
        """A pack has started."""

    def on_row(self, row: dict[str, Any]) -> None:
        """A trial has ended and is stored."""

    def on_data(self, text: str) -> None:
        """What there is to know of the data, before the first trial."""

    def on_note(self, text: str) -> None:
        """Something the user should know."""

    def on_wait(self, text: str) -> None:
        """What the first trial waits for, from now on."""

    def on_slots(self, nodes: int, in_use: int, waiting: int) -> None:
        """How many nodes of a cluster trials may run on, workers that have a pack, and packs that wait for one."""

    def tick(self) -> None:
        """Called now and then while the sweep runs."""

    def close(self) -> None:
        """The sweep has ended."""


class _Handed(NamedTuple):
    """Records of a pack, on their way into the folder."""

    pack: Pack
    records: list[Record]
    gpu_memory: int | None


@dataclass
class Recorder:
    """Stores records in order of arrival. `statuses` counts what this run has stored; `stored` is called with rows once
    they are, by the thread that stores.

    By itself it stores where it stands. `behind` lets a thread store meanwhile: what it has stored is told by `tell`,
    and to nobody before.
    """

    writer: Writer
    scheduler: Scheduler
    observer: Observer
    study: str
    lock: Lock | None = None
    log: Callable[[Record], None] = lambda record: None
    stored: Callable[[Sequence[Done]], None] = lambda done: None
    after: Callable[[Done, int | None], None] = lambda done, memory: None
    statuses: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)
    _queue: WriteQueue[_Handed] | None = None

    @property
    def folder(self) -> ResultsFolder:
        """Where the records go."""
        return self.writer.folder

    def pass_on(self, notes: Iterable[str]) -> None:
        """Tell the user what training processes noted, each thing once: several may meet the same trouble."""
        for note in notes:
            if note not in self._said:
                self._said.add(note)
                self.observer.on_note(note)

    def store(self, pack: Pack, records: list[Record], gpu_memory: int | None = None) -> None:
        """Store a pack's records, or hand them over to be stored, and then let the scheduler go on.

        Raises ResultsError where another driver has taken the folder over: what it does is not written over.
        """
        one = _Handed(pack, records, gpu_memory)
        if not records:
            return
        if self._queue is not None:
            self._queue.put(one)
            return
        self._write([one])
        self._tell(one)

    @contextmanager
    def behind(self) -> Iterator[None]:
        """Within, what is to be stored is handed over to a thread. At the end all of it is stored and told, unless
        storing has failed; a run that is interrupted waits for a store in trouble no longer than LAST_WORDS."""
        self._queue = queue = WriteQueue(self._write, 0.0 if self.folder.local else EVERY)
        try:
            yield
        except BaseException:
            patience = self.folder.patience
            self.folder.patience = lambda: min(LAST_WORDS, patience())
            raise
        finally:
            try:
                self.finish()
            except Exception:  # of whoever is told: what waits to be stored is stored all the same
                self.drain()
                raise
            finally:
                self._queue = None
                queue.close()

    @property
    def pending(self) -> bool:
        """Whether there is something that has not been stored and told yet."""
        return self._queue is not None and self._queue.pending

    def tell(self, within: float = 0.0) -> None:
        """Tell the scheduler and the observers of what has been stored since, or is so many seconds from now; raises
        what went wrong."""
        if self._queue is None:
            return
        if within:
            self._queue.wait(within)
        for one in self._queue.take():
            self._tell(one)

    def finish(self) -> None:
        """Wait until all is stored, and tell of it."""
        while self.pending:
            self.tell(1.0)

    def drain(self) -> None:
        """Wait until all is stored, or cannot be, and tell nobody; any thread may."""
        if self._queue is not None:
            self._queue.wait(everything=True)

    def _write(self, some: Sequence[_Handed]) -> None:
        """Store what several packs have come to, and delete what nobody needs once it is."""
        records = [record for one in some for record in one.records]
        self._check()
        self.writer.store(records)  # rows are the same whoever writes them; what is deleted, another driver may need
        self._check()
        forget(self.folder, {record.trial["trial_id"] for record in records})
        self.stored([done_of(record.trial) for record in records])

    def _check(self) -> None:
        if self.lock:
            self.lock.check()

    def _tell(self, one: _Handed) -> None:
        rows: list[Done] = []
        for record in one.records:
            self.log(record)
            row = record.trial
            self.statuses[row["status"]] = self.statuses.get(row["status"], 0) + 1
            if row["status"] not in ("ok", "pruned"):
                self.failures.append(row)
            rows.append(done_of(row))
            self.after(rows[-1], one.gpu_memory)
            self.observer.on_row(row)
        self.scheduler.on_done(one.pack, rows)

    def stopping(self) -> None:
        """Tell workers and the user that the run is about to stop."""
        if self.lock:
            self.lock.stop()
        self.observer.on_note("stopping once running trials have written checkpoints; a second Ctrl-C ends at once")
