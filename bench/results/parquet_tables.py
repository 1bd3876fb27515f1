"""A results table: its files read with checks, as many at once as memory has room for, and encoded.

    for part in read_parts(store, "evals", ["trial_id", "step", "value"]): ...

Which files there are, and which of two that hold one trial counts, is `bench.results.segments`' to say.
"""

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from finebench.bench.results.row_checks import too_new, wrong
from finebench.bench.results.schema import ADDED, TABLES
from finebench.bench.results.segments import digest, is_pruned, list_files, segment_of
from finebench.bench.util.errors import DamagedFile, ResultsError, StorageError
from finebench.bench.util.storage import Store, one_line

READERS = 8
"""Files read at once: on an object store latency rules, on a disk the decoder does."""

AT_ONCE = 24 * 2**20
"""Bytes of files that are read ahead: decoded, they take about ten times as much memory."""

MAX_ROWS = 50_000_000
"""Rows that one file may claim: a small hostile file must not stand for a table that fills the memory."""


COVERS = b"finebench.records"


@dataclass(frozen=True)
class Part:
    """One file's rows, and the records it holds: `<trial_id>` or `<trial_id>.pruned`, those without rows too."""

    name: str
    rows: pa.Table
    records: frozenset[str]


T = TypeVar("T", Part, frozenset[str])


def read_parts(
    store: Store,
    table: str,
    columns: Sequence[str] | None = None,
    wanted: set[str] | None = None,
    foreign: Callable[[ResultsError], None] | None = None,
) -> Iterator[Part | DamagedFile]:
    """Read a table file by file, in order of precedence; a damaged file is given as its error.

    `wanted` names trials: files that belong to one other trial are passed over. A file that vanishes has been merged
    into another one, and the listing is made anew. Raises ResultsError for a file that is sound but not ours (or hands
    the error to `foreign` and goes on), StorageError where the storage fails.
    """

    return _each(store, table, lambda name: read_part(store, table, name, columns), wanted, foreign)


def read_records(store: Store, table: str) -> Iterator[frozenset[str] | DamagedFile]:
    """What each file of a table holds, every byte of it read: a segment's are as its digest says, and then are not
    decoded. Otherwise as `read_parts`."""

    def read(name: str) -> frozenset[str] | None:
        data = store.read_bytes(f"{table}/{name}")
        return None if data is None else _held(data, table, name, store.shown(f"{table}/{name}"))

    return _each(store, table, read)


def read_part(store: Store, table: str, name: str, columns: Sequence[str] | None = None) -> Part | None:
    """One file of a table, or None where it has gone; raises DamagedFile or ResultsError naming it."""
    data = store.read_bytes(f"{table}/{name}")
    return None if data is None else decode(data, table, name, store.shown(f"{table}/{name}"), columns)


def _each(
    store: Store,
    table: str,
    read: Callable[[str], T | None],
    wanted: set[str] | None = None,
    foreign: Callable[[ResultsError], None] | None = None,
) -> Iterator[T | DamagedFile]:
    """What `read` makes of each file; None for one that has gone."""

    def attempt(name: str) -> T | ResultsError | None:
        try:
            return read(name)
        except StorageError:
            raise
        except ResultsError as error:
            return error

    done: set[str] = set()
    with ThreadPoolExecutor(READERS if not store.local else min(READERS, os.cpu_count() or 1)) as pool:
        while True:
            vanished = False
            files = list_files(store, table)
            left = [name for name in files if name not in done and (wanted is None or _may_hold(name, wanted))]
            for some in _windows({name: files[name] for name in left}):
                for name, made in zip(some, pool.map(attempt, some), strict=True):
                    vanished |= made is None
                    if made is not None:
                        done.add(name)
                    if isinstance(made, ResultsError) and not isinstance(made, DamagedFile):
                        if foreign is None:
                            raise made
                        foreign(made)
                    elif made is not None:
                        yield made
            if not vanished:
                return


def _windows(files: Mapping[str, int]) -> Iterator[list[str]]:
    """The files in their order, a few at a time: predictions do not fit into memory."""
    some: list[str] = []
    size = 0
    for name, own in files.items():
        if some and (size + own > AT_ONCE or len(some) == 4 * READERS):
            yield some
            some, size = [], 0
        some.append(name)
        size += own
    if some:
        yield some


def _may_hold(name: str, wanted: set[str]) -> bool:
    """Whether a file may hold one of the trials: the harness names a trial's own file after its id of 20 digits."""
    stem = name.partition(".")[0]
    return stem in wanted or len(stem) != 20


def _held(data: bytes, table: str, name: str, where: str) -> frozenset[str]:
    """The records that a file holds; raises DamagedFile or ResultsError as `decode`."""
    segment = segment_of(name)
    if segment is None or segment.digest is None:
        return decode(data, table, name, where).records
    _check_digest(data, table, name, where)
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            metadata = dict(file.schema_arrow.metadata or {})
            if COVERS in metadata:
                return _named(metadata[COVERS])
    except (pa.ArrowException, OSError, ValueError, TypeError, RecursionError) as error:
        raise ResultsError(f"{where}: not a {table} file: {one_line(error)}") from error
    return decode(data, table, name, where).records


def _check_digest(data: bytes, table: str, name: str, where: str) -> None:
    """Raise DamagedFile where a segment's bytes are not those that its name was made of."""
    segment = segment_of(name)
    if segment is not None and segment.digest is not None and digest(data) != segment.digest:
        raise DamagedFile(f"{where}: cannot be read: its bytes are not those that were written", f"{table}/{name}")


def decode(data: bytes, table: str, name: str, where: str, columns: Sequence[str] | None = None) -> Part:
    """A file's rows in the schema's types, checksums checked; `where` is what messages call it.

    Raises DamagedFile where the bytes are no whole Parquet file, ResultsError where they are one that is not ours.
    """
    schema = TABLES[table] if columns is None else pa.schema([TABLES[table].field(column) for column in columns])
    always = ("trial_id", "schema_version") if table == "trials" else ("trial_id",)
    _check_digest(data, table, name, where)
    try:
        found, metadata = _parse(data, [*dict.fromkeys((*schema.names, *always))])
    except _Foreign as error:
        raise ResultsError(f"{where}: not a {table} file: {error}") from error
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise DamagedFile(f"{where}: cannot be read: {one_line(error)}", f"{table}/{name}") from error
    try:
        rows = found.select(schema.names)
        rows = rows if rows.schema.equals(schema) else _modern(rows).cast(schema)
        rows.validate(full=True)  # text is UTF-8, offsets lie inside their buffers
        records = _records(metadata, found["trial_id"], name)
    except (pa.ArrowException, ValueError, TypeError, RecursionError) as error:
        raise ResultsError(f"{where}: not a {table} file: {one_line(error)}") from error
    fault = wrong(rows) or (too_new(found["schema_version"]) if table == "trials" else None)
    if fault is not None:
        raise ResultsError(f"{where}: {fault}")
    return Part(name, rows, records)


def _modern(rows: pa.Table) -> pa.Table:
    """Rows of schema 1 in the shape of schema 2: a probability, that of the predicted class alone, as a list of one."""
    if "probability" not in rows.schema.names or not pa.types.is_floating(rows.schema.field("probability").type):
        return rows
    known = rows["probability"].combine_chunks().cast(pa.float32())
    ends = np.cumsum([0, *known.is_valid().to_numpy(False)], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(ends), known.drop_null(), mask=known.is_null())
    return rows.set_column(rows.schema.get_field_index("probability"), "probability", lists)


class _Foreign(Exception):
    """A sound Parquet file that is not one of ours."""


def _parse(data: bytes, columns: list[str]) -> tuple[pa.Table, dict[bytes, bytes]]:
    """The columns of a Parquet file, its metadata apart from them."""
    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
        if file.metadata.num_rows > MAX_ROWS:
            raise _Foreign(f"{file.metadata.num_rows:,} rows; a file has at most {MAX_ROWS:,}")
        schema = file.schema_arrow  # it and its names are made anew each time they are asked for
        there = set(schema.names)
        absent = [column for column in columns if column not in there]
        lost = [column for column in absent if column not in ADDED]
        if lost:
            raise _Foreign(f"column {lost[0]!r} is missing")
        metadata = dict(schema.metadata or {})
        found = file.read(columns=[column for column in columns if column in there], use_threads=False)
        for field in map(TABLES["trials"].field, absent):  # no other table has got any
            found = found.append_column(field, pa.nulls(len(found), field.type))
        return found.select(columns).replace_schema_metadata(None), metadata


def _records(metadata: dict[bytes, bytes], ids: pa.ChunkedArray, name: str) -> frozenset[str]:
    """What a file holds: a segment says so, any other holds the trials of its rows, or the one it is named
    after."""
    if COVERS in metadata:
        return _named(metadata[COVERS])
    suffix = ".pruned" if is_pruned(name) else ""
    present = frozenset(f"{one}{suffix}" for one in ids.unique().to_pylist())
    return present or frozenset({name.removesuffix(".parquet")})


def _named(listed: bytes) -> frozenset[str]:
    """The records that a segment's metadata name."""
    named = json.loads(listed)
    if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
        raise ValueError("its list of records is broken")
    return frozenset(named)


def encode(rows: pa.Table, records: frozenset[str] | None = None) -> bytes:
    """A Parquet file with a checksum for every page; `records` is what a segment says that it holds."""
    if records is not None:
        rows = rows.replace_schema_metadata({COVERS: json.dumps(sorted(records)).encode()})
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()
