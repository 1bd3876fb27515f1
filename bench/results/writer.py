"""The one writer of rows: what has ended is stored at once, and merged in the background into segments that grow.

    with Writer(folder, lock.check) as writer:
        writer.store(records)

One record goes into files of its own, several that end together into one segment of each table. Every `FRESH` records
become a segment, and `FAN` segments of a size one of the next (a log-structured merge tree, O'Neil et al., 1996): n
trials stand in about FRESH + FAN · log(n) files of a table, and each was written again log(n) times at the most. A
driver that is killed at any moment leaves rows in two files, of which readers take one.

In an object store, where what counts is how often one waits for an answer, a call of `store` is two waits: for all
predictions and evaluations, then for the rows of `trials`. Tables are merged beside each other there.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from types import TracebackType
from typing import Self

import pyarrow as pa

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import CLOSED_BYTES, Written, delete_sources, distinct, write_segment
from finebench.bench.results.parquet_tables import Part, encode, read_part
from finebench.bench.results.record import Record
from finebench.bench.results.schema import TABLES
from finebench.bench.results.segments import is_pruned, list_files, number_of, own_name, segment_of
from finebench.bench.util.errors import DamagedFile

ORDER = ("predictions", "evals", "trials")
"""In which tables are written: a trial's row marks the others as complete."""

FRESH = 64
"""Records that are merged into a segment."""

FRESH_BYTES = 64 * 2**20
"""Memory that rows take which are to be merged; where it is reached, fewer records make a segment."""

FAN = 8
"""Segments of about one size that are merged into one of the next."""

BEHIND = 12
"""Merges, each of one table, that may wait; then storing waits for them."""

Kind = tuple[str, bool]
"""A table, and whether of trials that a search stopped: those have files apart."""


def level(records: int) -> int:
    """The size of a segment in steps of `FAN`: 0 from FRESH up to FAN · FRESH records."""
    return math.floor(math.log(max(1, records) / FRESH, FAN) + 1e-9)


def due(segments: Sequence[Written]) -> Sequence[Written]:
    """Of a table's segments, oldest first, the newest ones that are to be merged now: `FAN` of one level, with smaller
    ones between them; none of them is closed."""
    opened = 0
    while opened < len(segments) and segments[-1 - opened].size < CLOSED_BYTES:
        opened += 1
    candidates = segments[len(segments) - opened :]
    for top in sorted({level(one.records) for one in candidates}):
        length = 0
        while length < opened and level(candidates[-1 - length].records) <= top:
            length += 1
        some = candidates[opened - length :]
        if sum(level(one.records) == top for one in some) >= FAN:
            return some
    return ()


@dataclass
class _Batch:
    """Records that are stored as one file of each table: a segment of this number or, without one, the record's own."""

    records: Sequence[Record]
    number: int | None
    written: dict[str, Written] = field(default_factory=dict)

    @property
    def pruned(self) -> bool:
        """Whether a search stopped them, all or none."""
        return self.records[0].pruned

    @property
    def nbytes(self) -> int:
        """Bytes of memory that they take."""
        return sum(one.nbytes for one in self.records)

    @cached_property
    def _tables(self) -> list[dict[str, pa.Table]]:
        return [one.tables for one in self.records]

    def parts(self, table: str) -> list[Part]:
        """A table's rows, record by record."""
        return [
            Part(own_name(one.name), tables[table], frozenset({one.name}))
            for one, tables in zip(self.records, self._tables, strict=True)
        ]

    def write(self, folder: ResultsFolder, table: str) -> None:
        """Write a table's file."""
        parts = self.parts(table)
        if self.number is not None:
            self.written[table] = write_segment(folder, table, self.number, parts, self.pruned)
            return
        data = encode(parts[0].rows)
        folder.write_bytes(f"{table}/{parts[0].name}", data)
        self.written[table] = Written(parts[0].name, 1, len(data))


class Writer:
    """Stores a driver's records into a folder that it holds; `check` raises where it no longer does.

    A segment that is made of others takes the number of the newest of them, so that what has been stored since still
    counts before it.
    """

    def __init__(self, folder: ResultsFolder, check: Callable[[], None] = lambda: None) -> None:
        self.folder, self.check = folder, check
        self._segments: dict[Kind, list[Written]] = {}
        self._own: set[str] = set()
        self._many: list[tuple[str, bool, list[str]]] = []
        self._fresh: dict[bool, list[_Batch]] = {False: [], True: []}
        self._number = 0
        one = ThreadPoolExecutor(1, thread_name_prefix="finebench-merges")
        self._pools = {table: one if folder.local else ThreadPoolExecutor(1, f"finebench-{table}") for table in TABLES}
        self._jobs: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        """Look what there is. Many own files, as an older version or many short runs leave them, are merged once a
        record is stored: a run that is refused has changed nothing."""
        for table in TABLES:
            files = list_files(self.folder, table)
            self._number = max(self._number, *map(number_of, files), 0)
            for pruned in (False, True):
                mine = {name: size for name, size in files.items() if is_pruned(name) == pruned}
                self._segments[table, pruned] = [_known(name, mine[name]) for name in reversed(mine) if number_of(name)]
                own = [name for name in mine if segment_of(name) is None]
                if len(own) >= FRESH:
                    self._many.append((table, pruned, own))
                else:
                    self._own.update(own)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for what is being merged; raises what went wrong there, unless something else has."""
        for pool in self._pools.values():
            pool.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            self._settle(0)

    def store(self, records: Sequence[Record]) -> None:
        """Store records so that they survive whatever comes; raises StorageError where that, or a merge before it,
        fails. From one thread at a time."""
        while self._many:
            self._gather(*self._many.pop(0))
        self._settle(BEHIND)
        batches = self._batches(records)
        for tables in (ORDER[:-1], ORDER[-1:]):
            self.folder.at_once(
                lambda one: one[0].write(self.folder, one[1]), [(batch, table) for batch in batches for table in tables]
            )
        for batch in batches:
            self._fresh[batch.pruned].append(batch)
        for pruned, fresh in self._fresh.items():
            many = sum(len(one.records) for one in fresh) >= FRESH
            if many or sum(one.nbytes for one in fresh) >= FRESH_BYTES:
                self._fresh[pruned], number = [], self._next()
                for table in ORDER:
                    self._jobs.append(self._pools[table].submit(self._merge_fresh, table, pruned, fresh, number))

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _batches(self, records: Sequence[Record]) -> list[_Batch]:
        """Those that a search stopped apart. One that has a file of its own from before gets that again, since it
        counts before any segment."""
        batches, together = list[_Batch](), dict[bool, list[Record]]({False: [], True: []})
        for one in {record.name: record for record in records}.values():  # of one that is there twice the later counts
            if own_name(one.name) in self._own:
                batches.append(_Batch([one], None))
            else:
                together[one.pruned].append(one)
        batches += [_Batch(some, self._next() if len(some) > 1 else None) for some in together.values() if some]
        return batches

    def _settle(self, most: int) -> None:
        """Wait until at most so many merges are left; raises what went wrong in one."""
        while self._jobs and (len(self._jobs) > most or self._jobs[0].done()):
            self._jobs.popleft().result()

    def _merge_fresh(self, table: str, pruned: bool, fresh: Sequence[_Batch], number: int) -> None:
        """Make a segment of what was stored in many files; of two files that hold one record the later counts."""
        if len(fresh) == 1 and fresh[0].number is not None:
            self._grow(table, pruned, fresh[0].written[table])
            return
        parts = distinct((part for batch in reversed(fresh) for part in reversed(batch.parts(table))), set())
        self._replace(table, pruned, parts, [batch.written[table].name for batch in fresh], number)

    def _gather(self, table: str, pruned: bool, own: Sequence[str]) -> None:
        """Make segments of own files that an earlier run has left; what is damaged stays where it is."""
        self.folder.notify(f"{self.folder.shown(table)}: merging {len(own):,} files of finished trials")
        for start in range(0, len(own), FAN * FRESH):
            found = self._read(table, own[start : start + FAN * FRESH])
            if found:
                self._replace(table, pruned, distinct(found, set()), [part.name for part in found], self._next())

    def _replace(self, table: str, pruned: bool, parts: Sequence[Part], names: Sequence[str], number: int) -> None:
        """Write a segment in place of smaller files."""
        self.check()
        made = write_segment(self.folder, table, number, parts, pruned)
        delete_sources(self.folder, table, names, made)
        self._grow(table, pruned, made)

    def _grow(self, table: str, pruned: bool, made: Written) -> None:
        """Count a new segment, and merge what has become as many."""
        segments = self._segments.setdefault((table, pruned), [])
        segments.append(made)
        while some := due(segments):
            self.check()
            names = [one.name for one in reversed(some)]
            found = self._read(table, names)
            if len(found) < len(names):  # damaged: it stays for the next run, and the others go on
                gone = set(names) - {part.name for part in found}
                segments[:] = [one for one in segments if one.name not in gone]
                continue
            merged = write_segment(self.folder, table, number_of(names[0]), distinct(found, set()), pruned)
            delete_sources(self.folder, table, names, merged)
            segments[len(segments) - len(some) :] = [merged]

    def _read(self, table: str, names: Sequence[str]) -> list[Part]:
        """The files that are whole, in the order of their names."""

        def read(name: str) -> Part | None:
            try:
                return read_part(self.folder, table, name)
            except DamagedFile:
                return None

        return [part for part in self.folder.at_once(read, names) if part is not None]


def _known(name: str, size: int) -> Written:
    """A segment as listed; one that an older version wrote counts as closed."""
    found = segment_of(name)
    if found is None or found.records is None:
        return Written(name, 0, CLOSED_BYTES)
    return Written(name, found.records, size)
