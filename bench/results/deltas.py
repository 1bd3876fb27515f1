"""Which kept deltas stay: of each cell the best trial's, where a run keeps no more."""

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from finebench.bench.results.folder import Done, ResultsFolder
from finebench.bench.results.within import stored_scope, within

FOLDER = "deltas"


@dataclass(frozen=True)
class Kept:
    """File names of the deltas kept, and how many cells have a better trial that left none."""

    names: list[str]
    beaten: int


class BestDeltas:
    """Of each cell and precision the delta of the best trial (highest `select` score; ties: lowest seed), and no other.

    A delta is written before its trial's row, and deleted after the row that beats it: a run that is killed at any
    moment has lost no best one, and the next one deletes what it should have. Deltas of trials that the study no longer
    contains (`outside`) stay.
    """

    def __init__(self, folder: ResultsFolder, done: Iterable[Done], outside: Collection[str] = ()) -> None:
        """`done` are the finished trials of the study; deletes what is beaten, or of no trial."""
        self.folder = folder
        there, rows = self._there(), [row for row in done if _counts(row)]
        self._best = _best_of(row for row in rows if _name(row) in there)
        every = _best_of(rows)
        kept = {_name(row) for row in self._best.values()}
        gone = there - kept - {f"{one}.safetensors" for one in outside}
        folder.delete_all([f"{FOLDER}/{name}" for name in sorted(gone)])
        self.kept = Kept(sorted(kept), sum(every[cell] != row for cell, row in self._best.items()))

    def saw(self, rows: Iterable[Done]) -> None:
        """Take in rows that have been stored: of each one of the two deltas, its own and the best so far, goes."""
        there = self._there()
        beaten = {_name(one) for row in rows if (one := self._beaten(row, there)) is not None}
        self.folder.delete_all([f"{FOLDER}/{name}" for name in sorted(beaten & there)])

    def _beaten(self, row: Done, there: Collection[str]) -> Done | None:
        """Whose delta goes, now that a row is there."""
        best = self._best.get(_place(row))
        if not _counts(row):
            return row if row.status != "pruned" else None  # that left none, and may have been run whole before
        if _name(row) not in there:
            return None  # its worker could not store it: the best of those that are there stays
        if best is None or best.trial_id == row.trial_id:
            self._best[_place(row)] = row
            return None
        if _rank(row) < _rank(best):
            return row
        self._best[_place(row)] = row
        return best

    def _there(self) -> set[str]:
        return set(self.folder.names(FOLDER, ".safetensors"))


def keep_best(folder: ResultsFolder) -> Kept:
    """Delete all deltas of a folder but the best of each cell and precision."""
    every = folder.done()
    scope = stored_scope(folder, folder.plan()).scope
    done = every if scope is None else within(scope, every)
    return BestDeltas(folder, done.values(), {every[key].trial_id for key in every.keys() - done.keys()}).kept


def _place(row: Done) -> tuple[Any, ...]:
    """What has one best trial: a cell, of one precision."""
    return row.cell, row.precision


def _name(row: Done) -> str:
    return f"{row.trial_id}.safetensors"


def _counts(row: Done) -> bool:
    return row.status == "ok" and row.select_score is not None and math.isfinite(row.select_score)


def _best_of(rows: Iterable[Done]) -> dict[tuple[Any, ...], Done]:
    best: dict[tuple[Any, ...], Done] = {}
    for row in rows:
        now = best.setdefault(_place(row), row)
        if _rank(row) > _rank(now):
            best[_place(row)] = row
    return best


def _rank(row: Done) -> tuple[float, int, str]:
    """Sorts the trials of a cell that count, no two alike; the best comes last."""
    return row.select_score or 0.0, -row.seed, row.trial_id
