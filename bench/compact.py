"""`finebench compact`: merge what a run has left unmerged; killed at any time it loses nothing.

A run merges its files as it goes (bench.writer), into segments of growing sizes; this makes the fewest of them that
`bench.merge` allows, and of a folder that an older version wrote, too. Killed in between, it leaves a trial in two
files, of which every reader takes one; the next call merges what is left. A driver that holds the folder is not
disturbed: the call is refused.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bench.errors import DamagedFile
from bench.merge import CLOSED_BYTES, delete_sources, distinct, write_segment
from bench.results import ResultsFolder
from bench.schema import TABLES
from bench.segments import is_pruned, list_files, number_of
from bench.tables import Part, read_part


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
