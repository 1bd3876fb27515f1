"""Merge a table's files into segments: whole before the first of their sources is deleted, each trial in one once.

A run merges its files as it goes (bench.results.writer). `finebench compact` makes the fewest segments that are
allowed, and of a folder that an older version wrote, too. Killed in between, it leaves a trial in two files, of which
every reader takes one; the next call merges what is left.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.parquet_tables import Part, encode, read_part
from finebench.bench.results.schema import TABLES
from finebench.bench.results.segments import is_pruned, list_files, number_of, segment_name
from finebench.bench.util.errors import DamagedFile
from finebench.bench.util.storage import Store

CLOSED_BYTES = 16 * 2**20
"""Segments of this size are not merged any more: they are read whole, and then take about ten times as much memory."""


@dataclass(frozen=True)
class Written:
    """A segment that has just been written."""

    name: str
    records: int
    size: int


def write_segment(store: Store, table: str, number: int, parts: Sequence[Part], pruned: bool) -> Written:
    """Write the rows of `parts`, of which no two hold one record, as one segment; returns its name."""
    records = frozenset[str]().union(*(part.records for part in parts))
    data = encode(pa.concat_tables([part.rows for part in parts]), records)
    name = segment_name(number, len(records), data, pruned)
    store.write_bytes(f"{table}/{name}", data)
    return Written(name, len(records), len(data))


def delete_sources(store: Store, table: str, names: Iterable[str], made: Written | None) -> None:
    """Delete what a segment has been made of. Where all of it stood in one source, that is the segment itself."""
    store.delete_all([f"{table}/{name}" for name in names if made is None or name != made.name])


def distinct(parts: Iterable[Part], taken: set[str]) -> list[Part]:
    """Parts in order of precedence, each without the records that are `taken`, as what it holds then is."""
    kept = []
    for part in parts:
        kept.append(_without(part, taken))
        taken |= part.records
    return kept


def _without(part: Part, taken: set[str]) -> Part:
    twice = part.records & taken
    if not twice:
        return part
    ids = pa.array(sorted(record.partition(".")[0] for record in twice), pa.string())
    rows = part.rows.filter(pc.invert(pc.is_in(part.rows["trial_id"], ids)))
    return Part(part.name, rows, part.records - twice)


@dataclass(frozen=True)
class Compacted:
    """Files before and after, and what was damaged and therefore left where it is."""

    before: int
    after: int
    damaged: tuple[str, ...]


@dataclass(frozen=True)
class _Batch:
    """Files to be merged into one, in order of precedence."""

    names: tuple[str, ...]
    parts: tuple[Part, ...]
    shrunk: bool


def compact(folder: ResultsFolder) -> Compacted:
    """Merge every table's files; the caller holds the folder's lock."""
    before, damaged = 0, list[str]()
    for table in ("predictions", "evals", "trials"):
        files = list_files(folder, table)
        before += len(files)
        number = 1 + max(map(number_of, files), default=0)
        for pruned in (False, True):
            own = {name: size for name, size in files.items() if is_pruned(name) == pruned}
            for batch in _batches(folder, table, own, damaged):
                _merge(folder, table, batch, number, pruned)
    after = sum(len(list_files(folder, table)) for table in TABLES)
    return Compacted(before, after, tuple(damaged))


def _batches(folder: ResultsFolder, table: str, files: dict[str, int], damaged: list[str]) -> Iterator[_Batch]:
    """Split a table's files into batches; what an earlier file already holds is left out of later ones."""
    taken: set[str] = set()
    sources: list[str] = []
    parts: list[Part] = []
    total, shrunk = 0, False
    for name, size in files.items():
        try:
            part = read_part(folder, table, name)
        except DamagedFile as error:
            damaged.append(str(error))
            continue
        if part is None:
            continue
        if not number_of(name):
            size = part.rows.nbytes // 10  # most of a small file is its footer
        if sources and total + size > CLOSED_BYTES:
            yield _Batch(tuple(sources), tuple(parts), shrunk)
            sources, parts, total, shrunk = [], [], 0, False
        [fresh] = distinct([part], taken)
        shrunk |= fresh is not part
        sources.append(name)
        parts.append(fresh)
        total += size
    if sources:
        yield _Batch(tuple(sources), tuple(parts), shrunk)


def _merge(folder: ResultsFolder, table: str, batch: _Batch, number: int, pruned: bool) -> None:
    """Write one segment, then delete its sources; a file that stands alone stays as it is."""
    if len(batch.names) == 1 and not batch.shrunk:
        return
    some = any(part.records for part in batch.parts)
    made = write_segment(folder, table, number, batch.parts, pruned) if some else None
    delete_sources(folder, table, batch.names, made)
