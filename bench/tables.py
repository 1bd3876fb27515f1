"""The files of a results table: encoded, decoded with checks, and listed so that no trial is missed or read twice.

A trial's rows stand in a file of their own, <trial_id>.parquet (<trial_id>.pruned.parquet where a search stopped it),
until `finebench compact` merges many into merged-<generation>-<batch>.parquet, whose metadata names what it holds. A
merged file is whole before the files that it replaces are deleted, so for a while a trial stands in both. Readers take
the first in the order of `precedence`: a trial's own file, then the newest merged one; pruned ones last.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.errors import DamagedFile, ResultsError, StorageError
from bench.schema import ADDED, PRECISIONS, SCHEMA_VERSION, STAGES, STATUSES, TABLES
from bench.store import Store, one_line

READERS = 8
"""Files read at once: on an object store latency rules, on a disk the decoder does."""

MAX_ROWS = 50_000_000
"""Rows that one file may claim: a small hostile file must not stand for a table that fills the memory."""

END_OF_TIME = 253_402_300_800_000_000
"""The year 10000 in microseconds: Python's own dates end there."""

CONTROL = "[\\x00-\\x08\\x0e-\\x1f\\x7f\\x{80}-\\x{9f}]"

COVERS = b"finebench.records"
_MERGED = re.compile(r"merged-(\d{6})-(\d{4})(\.pruned)?\.parquet")


@dataclass(frozen=True)
class Part:
    """One file's rows, and the records it holds: `<trial_id>` or `<trial_id>.pruned`, those without rows too."""

    name: str
    rows: pa.Table
    records: frozenset[str]


def is_pruned(name: str) -> bool:
    """Whether a file holds trials that a search stopped."""
    return name.endswith(".pruned.parquet")


def generation(name: str) -> int:
    """Which compaction wrote a file; 0 for a trial's own file."""
    match = _MERGED.fullmatch(name)
    return int(match[1]) if match else 0


def merged_name(number: int, batch: int, pruned: bool) -> str:
    """The name of a merged file."""
    return f"merged-{number:06d}-{batch:04d}{'.pruned' if pruned else ''}.parquet"


def precedence(name: str) -> tuple[bool, bool, int, str]:
    """Sorts a table's files: of two that hold one trial, the earlier one counts."""
    return is_pruned(name), generation(name) > 0, -generation(name), name


def list_files(store: Store, table: str) -> list[str]:
    """The finished files of a table in order of precedence.

    Listing a folder takes a while, and a listing may miss both a file deleted and its replacement written meanwhile;
    two listings that agree have missed neither.
    """
    before, now = None, store.names(table, ".parquet")
    while now != before:
        before, now = now, store.names(table, ".parquet")
    return sorted(now, key=precedence)


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
    read: set[str] = set()
    with ThreadPoolExecutor(READERS) as pool:
        while True:
            names = [n for n in list_files(store, table) if n not in read and (wanted is None or _may_hold(n, wanted))]
            vanished = False
            for start in range(0, len(names), 4 * READERS):  # a few at a time: predictions do not fit into memory
                some = names[start : start + 4 * READERS]
                for name, part in zip(some, pool.map(lambda n: _read(store, table, n, columns), some), strict=True):
                    vanished |= part is None
                    if part is not None:
                        read.add(name)
                    if isinstance(part, Part | DamagedFile):
                        yield part
                    elif part is not None and foreign is not None:
                        foreign(part)
                    elif part is not None:
                        raise part
            if not vanished:
                return


def read_part(store: Store, table: str, name: str, columns: Sequence[str] | None = None) -> Part | None:
    """One file of a table, or None where it has gone; raises DamagedFile or ResultsError naming it."""
    data = store.read_bytes(f"{table}/{name}")
    return None if data is None else decode(data, table, name, store.shown(f"{table}/{name}"), columns)


def _read(store: Store, table: str, name: str, columns: Sequence[str] | None) -> Part | ResultsError | None:
    try:
        return read_part(store, table, name, columns)
    except StorageError:
        raise
    except ResultsError as error:
        return error


def _may_hold(name: str, wanted: set[str]) -> bool:
    """Whether a file may hold one of the trials: the harness names a trial's own file after its id of 20 digits."""
    stem = name.partition(".")[0]
    return stem in wanted or len(stem) != 20


def decode(data: bytes, table: str, name: str, where: str, columns: Sequence[str] | None = None) -> Part:
    """A file's rows in the schema's types, checksums checked; `where` is what messages call it.

    Raises DamagedFile where the bytes are no whole Parquet file, ResultsError where they are one that is not ours.
    """
    schema = TABLES[table] if columns is None else pa.schema([TABLES[table].field(column) for column in columns])
    try:
        found, metadata = _parse(data, [*dict.fromkeys((*schema.names, "trial_id"))])
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
    wrong = _wrong(rows, table == "trials" and columns is None)
    if wrong is not None:
        raise ResultsError(f"{where}: {wrong}")
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


def _wrong(rows: pa.Table, trials: bool) -> str | None:
    """What is wrong with the values of a table, or None."""
    empty = [f.name for f in rows.schema if not f.nullable and rows[f.name].null_count]
    if empty:
        return f"column {empty[0]!r} has no value in some row"
    if not trials:
        return None
    for column in ("trial_id", "study", "method", "model", "task", "metric"):
        if pc.any(pc.match_substring_regex(rows[column], CONTROL)).as_py():
            return f"column {column!r} holds characters that steer a terminal"
    newest = pc.max(rows["schema_version"]).as_py()
    if newest is not None and newest > SCHEMA_VERSION:
        return f"written with results schema {newest}; this finebench reads up to {SCHEMA_VERSION}: update finebench"
    for column, known in (("status", STATUSES), ("stage", STAGES), ("precision", PRECISIONS)):
        foreign = set(rows[column].drop_null().unique().to_pylist()) - set(known)
        if foreign:
            return f"{column} {min(foreign)[:80]!r} is not one of {', '.join(known)}"
    for column in ("started_at", "finished_at"):
        times = pc.min_max(rows[column].cast(pa.int64())).as_py()
        if times["min"] is not None and not 0 <= times["min"] <= times["max"] < END_OF_TIME:
            return f"column {column!r} has a time that no calendar has"
    for column in ("hyperparameters", "budget"):
        for text in rows[column].unique().to_pylist():
            if not _is_object(text):
                return f"{column}: a JSON object is needed, not {text[:80]!r}"
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _records(metadata: dict[bytes, bytes], ids: pa.ChunkedArray, name: str) -> frozenset[str]:
    """What a file holds: a merged file says so, any other holds the trials of its rows, or the one it is named
    after."""
    if COVERS in metadata:
        named = json.loads(metadata[COVERS])
        if not isinstance(named, list) or not all(isinstance(one, str) for one in named):
            raise ValueError("its list of records is broken")
        return frozenset(named)
    suffix = ".pruned" if is_pruned(name) else ""
    present = frozenset(f"{one}{suffix}" for one in ids.unique().to_pylist())
    return present or frozenset({name.removesuffix(".parquet")})


def encode(rows: pa.Table, records: frozenset[str] | None = None) -> bytes:
    """A Parquet file with a checksum for every page; `records` is what a merged file says that it holds."""
    if records is not None:
        rows = rows.replace_schema_metadata({COVERS: json.dumps(sorted(records)).encode()})
    sink = io.BytesIO()
    pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()
