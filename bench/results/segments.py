"""The files of a results table: their names say what they are, and in which order they count.

A trial's rows stand in a file of their own, <trial_id>.parquet (<trial_id>.pruned.parquet where a search stopped it),
until many are merged into a segment:

    segment-<number>-<records>-<digest>[.pruned].parquet

`number` grows with every segment of a table, `records` counts the trials that it holds, and `digest` is that of its
bytes: two writers never make one name of two contents, a reader can tell that it has all of a segment without decoding
it, and whoever merges next knows from the listing alone what there is. There is no manifest, nothing is renamed in an
object store, and no file is ever written into again. A segment is whole before the files that it replaces are deleted,
so for a while a trial stands in both. Readers take the first in the order of `precedence`: a trial's own file, then the
newest segment; pruned ones last. (Older folders have merged-<number>-<batch>.parquet, which are segments too.)
"""

import hashlib
import re
from dataclasses import dataclass

from finebench.bench.util.storage import Store

_SEGMENT = re.compile(r"segment-(\d{6,12})-(\d{1,12})-([0-9a-f]{16})(\.pruned)?\.parquet")
_MERGED = re.compile(r"merged-(\d{6})-(\d{4})(\.pruned)?\.parquet")
_PRUNED = ".pruned.parquet"


@dataclass(frozen=True)
class Segment:
    """What a segment's name says; of one that an older version made neither records nor digest are known."""

    number: int
    records: int | None = None
    digest: str | None = None


def segment_of(name: str) -> Segment | None:
    """The segment that a file is by its name; None for a trial's own file, or a foreign one."""
    match = _SEGMENT.fullmatch(name)
    if match:
        return Segment(int(match[1]), int(match[2]), match[3])
    match = _MERGED.fullmatch(name)
    return Segment(int(match[1])) if match else None


def number_of(name: str) -> int:
    """A segment's number; 0 for any other file."""
    found = segment_of(name)
    return found.number if found else 0


def segment_name(number: int, records: int, data: bytes, pruned: bool) -> str:
    """The name of a segment with these bytes."""
    return f"segment-{number:06d}-{records}-{digest(data)}{_PRUNED if pruned else '.parquet'}"


def own_name(record: str) -> str:
    """The name of the file that holds one record alone."""
    return f"{record}.parquet"


def digest(data: bytes) -> str:
    """64 bits of BLAKE2b, in hex: against damage, not against an adversary."""
    return hashlib.blake2b(data, digest_size=8).hexdigest()


def is_pruned(name: str) -> bool:
    """Whether a file holds trials that a search stopped."""
    return name.endswith(_PRUNED)


def precedence(name: str) -> tuple[bool, bool, int, str]:
    """Sorts a table's files: of two that hold one trial, the earlier one counts."""
    number = number_of(name)
    return is_pruned(name), number > 0, -number, name


def list_files(store: Store, table: str) -> dict[str, int]:
    """The finished files of a table in order of precedence, with their bytes.

    Listing a folder takes a while, and a listing may miss both a file deleted and its replacement written meanwhile;
    two listings that agree have missed neither.
    """
    before, now = None, _finished(store, table)
    while now != before:
        before, now = now, _finished(store, table)
    return {name: now[name] for name in sorted(now, key=precedence)}


def _finished(store: Store, table: str) -> dict[str, int]:
    found = store.sizes(table)
    return {name: size for name, size in found.items() if name.endswith(".parquet") and not name.startswith("_")}
