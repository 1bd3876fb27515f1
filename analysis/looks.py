"""How often a study was looked at while it grew: a durable record that the report keeps beside itself.

A study that is extended until its intervals please has a higher error rate than they state. The record cannot show a
look that made no report, or one into another folder; it counts those that it knows of, and says no more.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import pandas as pd

from analysis.folder import Folder
from bench.errors import ResultsError

FILE = "looks.json"

SHOWN = 6
"""Sizes named in a sentence."""


@dataclass(frozen=True)
class Look:
    """One report of one state of the results: how many finished trials, which, and when the last of them ended."""

    trials: int
    digest: str
    until: str


def look(trials: pd.DataFrame) -> Look:
    """The state that a report of these trials sees; equal trials give an equal look."""
    ids = "\n".join(sorted(trials["trial_id"]))
    last = trials["finished_at"].max()
    return Look(
        len(trials), blake2b(ids.encode(), digest_size=8).hexdigest(), "" if pd.isna(last) else last.isoformat()
    )


def read_looks(folder: Folder) -> list[Look]:
    """The looks on record, oldest first; none where there is no record. Raises ResultsError for a broken one."""
    data = folder.read(FILE)
    if data is None:
        return []
    try:
        return [Look(int(one["trials"]), str(one["digest"]), str(one["until"])) for one in json.loads(data)["looks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ResultsError(
            f"{folder.path(FILE)}: not a record of looks ({error}); move it away to start a new one"
        ) from error


def with_look(before: list[Look], now: Look) -> list[Look]:
    """The record after this report; the same trials seen again are no further look."""
    return before if before and before[-1].digest == now.digest else [*before, now]


def to_json(looks: list[Look]) -> bytes:
    """The record as the file holds it."""
    rows: list[dict[str, Any]] = [vars(one) for one in looks]
    return (json.dumps({"looks": rows}, indent=1) + "\n").encode()


def said(looks: list[Look]) -> list[str]:
    """A plain sentence where the study was extended after a look; none otherwise."""
    if len(looks) < 2:
        return []
    sizes = ("… " if len(looks) > SHOWN else "") + ", ".join(f"{one.trials:,}" for one in looks[-SHOWN:])
    return [
        f"The study was extended after a look: {len(looks)} different sets of its trials have been reported ({sizes}). "
        "Intervals and p-values are those of a single look; where what was seen decided to go on, they are too narrow."
    ]
