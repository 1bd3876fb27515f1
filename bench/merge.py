"""Merge a table's files into one segment: whole before the first of its sources is deleted, each trial in it once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from bench.segments import segment_name
from bench.store import Store
from bench.tables import Part, encode

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
    for name in names:
        if made is None or name != made.name:
            store.delete(f"{table}/{name}")


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
