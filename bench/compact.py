"""`finebench compact`: merge a results folder's many small Parquet files into few; killed at any time it loses nothing.

Each batch is written whole, under a new name that takes precedence over what it replaces (`bench.tables.precedence`),
before the first of its sources is deleted. Killed in between, it leaves a trial in two files, of which every reader
takes one; the next call merges what is left. A driver that holds the folder is not disturbed: the call is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from bench.errors import DamagedFile
from bench.results import ResultsFolder
from bench.schema import TABLES
from bench.tables import Part, encode, generation, is_pruned, list_files, merged_name, read_part

BATCH_BYTES = 16 * 2**20
"""Merged files are closed at this size: they are read whole, and then take about ten times as much memory."""


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
        names = list_files(folder, table)
        before += len(names)
        number = 1 + max(map(generation, names), default=0)
        for pruned in (False, True):
            own = [name for name in names if is_pruned(name) == pruned]
            for index, batch in enumerate(_batches(folder, table, own, damaged)):
                _merge(folder, table, batch, merged_name(number, index, pruned))
    after = sum(len(list_files(folder, table)) for table in TABLES)
    return Compacted(before, after, tuple(damaged))


def _batches(folder: ResultsFolder, table: str, names: list[str], damaged: list[str]) -> Iterator[_Batch]:
    """Split a table's files into batches; what an earlier file already holds is left out of later ones."""
    taken: set[str] = set()
    sources: list[str] = []
    parts: list[Part] = []
    size, shrunk = 0, False
    for name in names:
        try:
            part = read_part(folder, table, name)
        except DamagedFile as error:
            damaged.append(str(error))
            continue
        if part is None:
            continue
        fresh = _without(part, taken)
        shrunk |= fresh is not part
        taken |= part.records
        sources.append(name)
        parts.append(fresh)
        size += fresh.rows.nbytes // 10
        if size >= BATCH_BYTES:
            yield _Batch(tuple(sources), tuple(parts), shrunk)
            sources, parts, size, shrunk = [], [], 0, False
    if sources:
        yield _Batch(tuple(sources), tuple(parts), shrunk)


def _without(part: Part, taken: set[str]) -> Part:
    """A part without the records that a file before it holds."""
    twice = part.records & taken
    if not twice:
        return part
    ids = pa.array(sorted(record.partition(".")[0] for record in twice), pa.string())
    rows = part.rows.filter(pc.invert(pc.is_in(part.rows["trial_id"], ids)))
    return Part(part.name, rows, part.records - twice)


def _merge(folder: ResultsFolder, table: str, batch: _Batch, name: str) -> None:
    """Write one merged file, then delete its sources; a file that stands alone stays as it is."""
    if len(batch.names) == 1 and not batch.shrunk:
        return
    records = frozenset[str]().union(*(part.records for part in batch.parts))
    rows = pa.concat_tables([part.rows for part in batch.parts])
    if records:
        folder.write_bytes(f"{table}/{name}", encode(rows, records))
    for source in batch.names:
        folder.delete(f"{table}/{source}")
