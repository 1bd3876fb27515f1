"""The one writer of rows: what has ended is stored at once, and merged in the background into segments that grow.

    with Writer(folder, lock.check) as writer:
        writer.store(records)

One record goes into files of its own, several that end together into one segment of each table. Every `FRESH` own files
become a segment, and `FAN` segments of a size one of the next (a log-structured merge tree, O'Neil et al., 1996): n
trials stand in about FRESH + FAN · log(n) files of a table, and each was written again log(n) times at the most. A
driver that is killed at any moment leaves rows in two files, of which readers take one.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import CLOSED_BYTES, Written, delete_sources, distinct, write_segment
from finebench.bench.results.parquet_tables import Part, read_part
from finebench.bench.results.record import Record
from finebench.bench.results.schema import TABLES
from finebench.bench.results.segments import is_pruned, list_files, number_of, own_name, segment_of
from finebench.bench.util.errors import DamagedFile

FRESH = 64
"""Own files that are merged into a segment."""

FRESH_BYTES = 64 * 2**20
"""Memory that rows take which are to be merged; where it is reached, fewer files make a segment."""

FAN = 8
"""Segments of about one size that are merged into one of the next."""

BEHIND = 4
"""Merges that may wait; then storing waits for them."""

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
        self._fresh: dict[bool, list[Record]] = {False: [], True: []}
        self._numbers: dict[str, int] = {}
        self._numbering = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="finebench-writer")
        self._jobs: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        """Look what there is. Many own files, as an older version or many short runs leave them, are merged once a
        record is stored: a run that is refused has changed nothing."""
        for table in TABLES:
            files = list_files(self.folder, table)
            self._numbers[table] = max(map(number_of, files), default=0)
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
        self._pool.shutdown(wait=True, cancel_futures=error is not None)
        if error is None:
            self._settle(0)

    def store(self, records: Sequence[Record]) -> None:
        """Store records so that they survive whatever comes; raises StorageError where that, or a merge before it,
        fails."""
        while self._many:
            self._gather(*self._many.pop(0))
        self._settle(BEHIND)
        together = [one for one in records if own_name(one.name) not in self._own] if len(records) > 1 else []
        if len(together) > 1:
            self._append(together)
        else:
            together = []
        stored = {one.name for one in together}
        for one in records:
            if one.name not in stored:
                self.folder.write(one)
                self._fresh[one.pruned].append(one)
        for pruned, fresh in self._fresh.items():
            if len(fresh) >= FRESH or sum(one.nbytes for one in fresh) >= FRESH_BYTES:
                self._fresh[pruned] = []
                self._jobs.append(self._pool.submit(self._merge_fresh, fresh, pruned))

    def _settle(self, most: int) -> None:
        """Wait until at most so many merges are left; raises what went wrong in one."""
        while self._jobs and (len(self._jobs) > most or self._jobs[0].done()):
            self._jobs.popleft().result()

    def _append(self, records: Sequence[Record]) -> None:
        """One segment a table; those of trials that a search stopped apart. The rows of `trials` come last."""
        made: list[tuple[Kind, Written]] = []
        for table in ORDER:
            for pruned in (False, True):
                parts = [_part(one, table) for one in records if one.pruned == pruned]
                if parts:
                    made.append(((table, pruned), self._write(table, pruned, parts)))
        self._jobs.append(self._pool.submit(self._take_in, made))

    def _take_in(self, made: Iterable[tuple[Kind, Written]]) -> None:
        for (table, pruned), one in made:
            self._grow(table, pruned, one)

    def _merge_fresh(self, records: Sequence[Record], pruned: bool) -> None:
        """Make segments of records that have files of their own."""
        for table in ORDER:
            parts = distinct((_part(one, table) for one in reversed(records)), set())
            self._replace(table, pruned, parts, [part.name for part in parts])

    def _gather(self, table: str, pruned: bool, own: Sequence[str]) -> None:
        """Make segments of own files that an earlier run has left; what is damaged stays where it is."""
        self.folder.notify(f"{self.folder.shown(table)}: merging {len(own):,} files of finished trials")
        for start in range(0, len(own), FAN * FRESH):
            found = self._read(table, own[start : start + FAN * FRESH])
            if found:
                self._replace(table, pruned, distinct(found, set()), [part.name for part in found])

    def _replace(self, table: str, pruned: bool, parts: Sequence[Part], names: Sequence[str]) -> None:
        """Write a segment in place of own files."""
        self.check()
        made = self._write(table, pruned, parts)
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
            if len(found) < len(names):  # damaged: it stays, and the next run sets it aside
                return
            merged = self._write(table, pruned, distinct(found, set()), number_of(names[0]))
            delete_sources(self.folder, table, names, merged)
            segments[len(segments) - len(some) :] = [merged]

    def _write(self, table: str, pruned: bool, parts: Sequence[Part], number: int | None = None) -> Written:
        if number is None:
            with self._numbering:
                number = self._numbers[table] = self._numbers.get(table, 0) + 1
        return write_segment(self.folder, table, number, parts, pruned)

    def _read(self, table: str, names: Sequence[str]) -> list[Part]:
        """The files that are whole, in the order of their names."""
        found = []
        for name in names:
            try:
                part = read_part(self.folder, table, name)
            except DamagedFile:
                continue
            if part is not None:
                found.append(part)
        return found


ORDER = ("predictions", "evals", "trials")
"""In which tables are written: a trial's row marks the others as complete."""


def _part(record: Record, table: str) -> Part:
    return Part(own_name(record.name), record.tables[table], frozenset({record.name}))


def _known(name: str, size: int) -> Written:
    """A segment as listed; one that an older version wrote counts as closed."""
    found = segment_of(name)
    if found is None or found.records is None:
        return Written(name, 0, CLOSED_BYTES)
    return Written(name, found.records, size)
