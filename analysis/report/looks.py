"""How often a study was looked at while it grew: a durable record that the report keeps beside itself.

A study that is extended until its intervals please has a higher error rate than they state. The record cannot show a
look that made no report, or one into another folder; it counts those that it knows of, and says no more.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import pandas as pd

from finebench.bench.util.errors import ResultsError
from finebench.bench.util.storage import Store

FILE = "looks.json"

MAX_BYTES = 16 * 2**20
"""A longer record is not one of ours."""

SHOWN = 6
"""Sizes named in a sentence."""

WARNING = (
    "Intervals and p-values are those of a single look; where what was seen decided to go on, they are too narrow."
)


IN_WAVES = (
    "The claims that are judged in interim analyses allow for that; other intervals and p-values are those of a single "
    "look, and too narrow where what was seen decided to go on."
)


@dataclass(frozen=True)
class Rendering:
    """One report of one state of the results.

    trials: how many were finished; planned: how many the plan then held (None without one); digest: which were
    finished; until: when the last of them ended.
    """

    trials: int
    planned: int | None
    digest: str
    until: str


def look(trials: pd.DataFrame, plan: dict[str, Any] | None) -> Rendering:
    """The state that a report of these trials sees; equal trials give an equal look."""
    ids, last = "\n".join(sorted(trials["trial_id"])), trials["finished_at"].max()
    planned = None if plan is None else sum(int(cell["planned"]) for cell in plan["cells"])
    digest = blake2b(ids.encode(), digest_size=8).hexdigest()
    return Rendering(len(trials), planned, digest, "" if pd.isna(last) else last.isoformat())


def read_looks(store: Store, prefix: str = "") -> list[Rendering]:
    """The looks on record, oldest first; none where there is no record. Raises ResultsError for a broken one."""
    data = store.read_bytes(prefix + FILE, MAX_BYTES)
    if data is None:
        return []
    try:
        return [Rendering(**one) for one in json.loads(data)["looks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{store.shown(prefix + FILE)}: not a record of looks ({error}); move it away to start anew"
        ) from error


def with_look(before: list[Rendering], now: Rendering) -> list[Rendering]:
    """The record after this report; the same trials seen again are no further look."""
    return before if before and before[-1].digest == now.digest else [*before, now]


def to_json(looks: list[Rendering]) -> bytes:
    """The record as the file holds it."""
    return (json.dumps({"looks": [asdict(one) for one in looks]}, indent=1) + "\n").encode()


def said(looks: list[Rendering], waves: bool = False) -> list[str]:
    """A plain sentence where more than one set of trials was reported: whether the plan had grown in between.

    waves: of a study whose seeds come in waves the plan grows by itself, and the claims that are judged at each wave
    allow for it.
    """
    if len(looks) < 2:
        return []
    sizes = ("… " if len(looks) > SHOWN else "") + ", ".join(f"{one.trials:,}" for one in looks[-SHOWN:])
    plans = [one.planned for one in looks if one.planned is not None]
    if not waves and any(later > earlier for earlier, later in pairwise(plans)):
        first = f"The study was extended after a look: {len(looks)} reports saw different trials of it ({sizes})."
    else:
        first = f"The study was looked at while it ran: {len(looks)} reports saw different trials of it ({sizes})."
    return [f"{first} {IN_WAVES if waves else WARNING}"]
