"""Takes in finished records: has them stored, tells the scheduler and the observers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from finebench.bench.results.folder import Done, ResultsFolder, done_of
from finebench.bench.results.lock import Lock
from finebench.bench.results.record import Record
from finebench.bench.results.writer import Writer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.training.worker.checkpoint_policy import file as checkpoint_file
from finebench.bench.training.worker.messages import Pack


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


@dataclass
class Recorder:
    """Stores records in order of arrival. `statuses` counts what this run has stored; `stored` is called with each row
    once it is."""

    writer: Writer
    scheduler: Scheduler
    observer: Observer
    study: str
    lock: Lock | None = None
    log: Callable[[Record], None] = lambda record: None
    stored: Callable[[Done], None] = lambda done: None
    after: Callable[[Done, int | None], None] = lambda done, memory: None
    statuses: dict[str, int] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)
    _said: set[str] = field(default_factory=set)

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
        """Store a pack's records, then let the scheduler go on.

        Raises ResultsError where another driver has taken the folder over: what it does is not written over.
        """
        rows: list[Done] = []
        if not records:
            return
        if self.lock:
            self.lock.check()
        self.writer.store(records)
        for record in records:
            self.log(record)
            row = record.trial
            self.folder.delete(checkpoint_file(row["trial_id"]))
            self.statuses[row["status"]] = self.statuses.get(row["status"], 0) + 1
            if row["status"] not in ("ok", "pruned"):
                self.failures.append(row)
            rows.append(done_of(row))
            self.stored(rows[-1])
            self.after(rows[-1], gpu_memory)
            self.observer.on_row(row)
        self.scheduler.on_done(pack, rows)

    def stopping(self) -> None:
        """Tell workers and the user that the run is about to stop."""
        if self.lock:
            self.lock.stop()
        self.observer.on_note("stopping once running trials have written checkpoints; a second Ctrl-C ends at once")
