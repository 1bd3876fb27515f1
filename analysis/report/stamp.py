"""What a report was made of, and what it said on the terminal: a run that finds nothing to do need not make it again.

stamp = what_is_there(store)
...                                   # make the report
store.write_bytes(f"report/{FILE}", to_json(report, stamp))
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from finebench.bench import __version__
from finebench.bench.results.schema import TABLES
from finebench.bench.util.storage import Store

FILE = "made.json"

MAX_BYTES = 64 * 2**20
"""A longer one is not ours."""


@dataclass(frozen=True)
class Report:
    """Where the page is, the rows of the terminal's summary, and sentences on what is there and what was found."""

    path: str
    summary: list[dict[str, Any]]
    state: list[str]
    findings: list[str]
    verdicts: tuple[dict[str, Any], ...] = ()
    """The study's claims with their verdicts, as in claims.json."""


def what_is_there(store: Store) -> str:
    """A hash of study, plan and version, and of the name, size and time of every file of the tables."""
    digest = hashlib.blake2b(__version__.encode(), digest_size=16)
    for table in TABLES:
        digest.update(repr((table, store.versions(table))).encode())
    for name in ("study.yaml", "plan.json"):
        digest.update(repr((name, store.read_bytes(name))).encode())
    return digest.hexdigest()


def to_json(report: Report, stamp: str) -> bytes:
    """What is kept beside a report."""
    kept = {"made_of": stamp, "report": asdict(report)}
    return (json.dumps(kept, default=lambda value: value.item()) + "\n").encode()


def still_there(results: str) -> Report | None:
    """The report of a results folder, where it was made of just what is there now; else None."""
    store = Store(results)
    data = store.read_bytes(f"report/{FILE}", MAX_BYTES)
    if data is None or "index.html" not in store.sizes("report"):
        return None
    try:
        kept = json.loads(data)
        said = kept["report"]
        found = Report(**said | {"path": store.shown("report/index.html"), "verdicts": tuple(said["verdicts"])})
        return found if kept["made_of"] == what_is_there(store) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # another version's, or cut short: the report is made anew
