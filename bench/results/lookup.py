"""Rows of single trials, asked for one after the other: each segment is read once, and not searched each time."""

import numpy as np
import pyarrow as pa

from finebench.bench.results.parquet_tables import Part, read_part
from finebench.bench.results.segments import is_pruned, list_files, own_name, segment_of
from finebench.bench.util.errors import ResultsError
from finebench.bench.util.storage import Store


class Lookup:
    """One table of a folder, as it is listed when a trial is first asked for, and again where one is not found."""

    def __init__(self, store: Store, table: str) -> None:
        self.store, self.table = store, table
        self._own: set[str] = set()
        self._segments: dict[str, dict[str, pa.Table]] = {}

    def rows(self, record: str) -> pa.Table:
        """The rows of one record; raises ResultsError where there are none, or its file is damaged."""
        found = self._find(record)
        while found is None:
            whole = self._list()
            found = self._find(record)
            if found is None and whole:  # else a file went while we looked: it has been merged into another one
                raise ResultsError(f"{self.store.shown(self.table)}: holds nothing of trial {record}")
        return found

    def file(self, record: str) -> str:
        """The name of the file that holds one record; raises ResultsError as `rows` does."""
        self.rows(record)
        if own_name(record) in self._own:
            return own_name(record)
        return next(name for name, held in self._segments.items() if record in held)

    def _find(self, record: str) -> pa.Table | None:
        if own_name(record) in self._own:
            part = read_part(self.store, self.table, own_name(record))
            return part.rows if part is not None else None
        return next((held[record] for held in self._segments.values() if record in held), None)

    def _list(self) -> bool:
        """Take in what is listed, the newest first, and read what was not; whether all of it was there."""
        names = list(list_files(self.store, self.table))
        self._own = {name for name in names if segment_of(name) is None}
        before, self._segments, vanished = self._segments, {}, False
        for name in names:
            if name in self._own:
                continue
            held = before.get(name) or self._read(name)
            vanished |= held is None
            self._segments[name] = held or {}
        return not vanished

    def _read(self, name: str) -> dict[str, pa.Table] | None:
        part = read_part(self.store, self.table, name)
        return None if part is None else _cut(part)


def _cut(part: Part) -> dict[str, pa.Table]:
    """A segment's rows by record; those without rows too."""
    suffix = ".pruned" if is_pruned(part.name) else ""
    codes = part.rows["trial_id"].combine_chunks().dictionary_encode()
    numbers = codes.indices.to_numpy()
    order = np.argsort(numbers, kind="stable")
    rows = part.rows if np.array_equal(order, np.arange(len(order))) else part.rows.take(pa.array(order))
    sizes = np.bincount(numbers, minlength=len(codes.dictionary))
    starts = np.cumsum(sizes) - sizes
    found = dict.fromkeys(part.records, rows.slice(0, 0))
    places = zip(codes.dictionary.to_pylist(), starts.tolist(), sizes.tolist(), strict=True)
    return found | {f"{one}{suffix}": rows.slice(start, size) for one, start, size in places}
