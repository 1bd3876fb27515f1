"""Whether the rows of a file are what the schema says: checked before anything believes them."""

import json

import pyarrow as pa
import pyarrow.compute as pc

from finebench.bench.results.schema import PRECISIONS, SCHEMA_VERSION, STAGES, STATUSES

END_OF_TIME = 253_402_300_800_000_000
"""The year 10000 in microseconds: Python's own dates end there."""


CHECKED = (
    "trial_id",
    "study",
    "method",
    "model",
    "task",
    "metric",
    "status",
    "stage",
    "hyperparameters",
    "budget",
    "precision",
)
"""Columns of `trials` whose texts are looked at, each distinct one once."""


CONTROL = "[\\x00-\\x08\\x0e-\\x1f\\x7f\\x{80}-\\x{9f}]"


def wrong(rows: pa.Table) -> str | None:
    """What is wrong with the values of a table, or None; columns that it lacks were not asked for."""
    empty = [f.name for f in rows.schema if not f.nullable and rows[f.name].null_count]
    if empty:
        return f"column {empty[0]!r} has no value in some row"
    if "status" not in rows.schema.names:
        return None
    there = {name: rows[name].unique() for name in CHECKED if name in rows.schema.names}
    for column in ("trial_id", "study", "method", "model", "task", "metric"):
        if column in there and pc.any(pc.match_substring_regex(there[column], CONTROL)).as_py():
            return f"column {column!r} holds characters that steer a terminal"
    for column, known in (("status", STATUSES), ("stage", STAGES), ("precision", PRECISIONS)):
        foreign = set(there[column].drop_null().to_pylist()) - set(known) if column in there else None
        if foreign:
            return f"{column} {min(foreign)[:80]!r} is not one of {', '.join(known)}"
    for column in ("started_at", "finished_at"):
        if column not in rows.schema.names:
            continue
        times = pc.min_max(rows[column].cast(pa.int64())).as_py()
        if times["min"] is not None and not 0 <= times["min"] <= times["max"] < END_OF_TIME:
            return f"column {column!r} has a time that no calendar has"
    for column in ("hyperparameters", "budget"):
        for text in there[column].to_pylist() if column in there else ():
            if not _is_object(text):
                return f"{column}: a JSON object is needed, not {text[:80]!r}"
    return None


def too_new(versions: pa.ChunkedArray) -> str | None:
    """What is to be said where a newer finebench wrote the rows; else None."""
    newest: int | None = pc.max(pc.cast(versions, pa.int64())).as_py()
    if newest is not None and newest > SCHEMA_VERSION:
        return f"written with results schema {newest}; this finebench reads up to {SCHEMA_VERSION}: update finebench"
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
