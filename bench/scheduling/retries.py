"""What becomes of a pack's trials that did not end well: tried again in smaller packs, until a failure is their own.

A failure inside a pack may be the pack's (its memory, its pace, a neighbour's crash), so that it counts only of a trial
that ran by itself. Out of memory is tried again in packs of half the size; whatever else fails, trial by trial. What
was done about memory is told in the row's `reason`, whatever its status.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from finebench.bench.results.folder import KEPT
from finebench.bench.results.record import Record
from finebench.bench.training.worker.messages import Pack

T = TypeVar("T")


def begun_first(waiting: Sequence[T], begun: Callable[[T], bool]) -> T:
    """Of packs that wait, the oldest that a worker has had before, else the oldest: what was begun has a checkpoint to
    go on from, and behind all others it would be what a whole cluster waits for in the end."""
    return next((one for one in waiting if begun(one)), waiting[0])


@dataclass
class Retries:
    """Packs that wait for another try, before any new one."""

    waiting: deque[Pack] = field(default_factory=deque)
    _told: dict[str, list[str]] = field(default_factory=dict)

    def next(self) -> Pack | None:
        """The next pack to try again."""
        return self.waiting.popleft() if self.waiting else None

    def again(self, pack: Pack, *, most: int | None = None, because: str | None = None) -> None:
        """Try a pack's trials again, `most` at a time (None: all of them); `because`, and in what company, goes
        into their rows."""
        most = most or len(pack.trials)
        for start in range(0, len(pack.trials), most):
            trials = pack.trials[start : start + most]
            self.waiting.append(replace(pack, trials=trials))
            how = f"{len(trials)} together" if len(trials) > 1 else "by itself"
            for trial in trials:
                self._told.setdefault(trial.id, []).extend([f"{because}; tried again {how}"] if because else [])

    def settle(self, pack: Pack, records: list[Record]) -> list[Record]:
        """The rows of a pack that count, told what was tried before; trials of the others will be tried again.

        `pack` is as it was started; `records` are those of its trials that have ended since it was last asked.
        """
        if len(pack.trials) == 1 or pack.searches:
            return self.tell(records)
        status = {record.trial["trial_id"]: record.trial["status"] for record in records}
        size = len(pack.trials)
        failed = [trial for trial in pack.trials if status.get(trial.id, "ok") not in KEPT]
        for what, most in (("out of memory", size // 2), ("failed", 1)):
            trials = tuple(t for t in failed if (status[t.id] == "oom") == (what == "out of memory"))
            if trials:
                self.again(replace(pack, trials=trials), most=most, because=f"{what} in a pack of {size}")
        return self.tell([record for record in records if status[record.trial["trial_id"]] in KEPT])

    def tell(self, records: list[Record]) -> list[Record]:
        """The rows with what was tried before in their `reason`."""
        return [self._tell(record) for record in records]

    def _tell(self, record: Record) -> Record:
        told = self._told.pop(record.trial["trial_id"], [])
        if not told:
            return record
        reason = "; ".join(filter(None, [record.trial["reason"], *told]))
        return replace(record, trial=record.trial | {"reason": reason})
