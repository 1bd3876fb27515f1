"""What goes in and out of the API: arguments as a study file would have them, frames without JSON in their cells."""

import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from finebench.bench.util.errors import InputError, choose

PREFIX = {
    "hyperparameters": "hp",
    "configuration": "hp",
    "budget": "budget",
    "metrics": "metric",
    "versions": "version",
}
"""Columns that hold a JSON object, and what the columns begin with that it becomes."""

MOST_NAMED = 10
"""Ids that a message names; of names of tasks and methods, all."""


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy of the frame with each column of JSON objects as columns of its own."""
    frame = frame.copy(deep=False)
    for column, prefix in PREFIX.items():
        if column in frame and len(frame):
            at = list(frame.columns).index(column)
            made = pd.DataFrame([_entries(text, prefix) for text in frame[column]], index=frame.index)
            frame = frame.iloc[:, :at].join(made).join(frame.iloc[:, at + 1 :])
    return frame


def _entries(text: Any, prefix: str) -> dict[str, Any]:
    if not isinstance(text, str) or not text.startswith("{"):
        return {prefix: text} if isinstance(text, str) else {}
    found = json.loads(text)
    return {f"{prefix}_{key}": str(v) if isinstance(v, list | dict) else v for key, v in found.items()}


def check_names(
    what: str, given: Iterable[object], there: Collection[Any], most: int | None = None, where: str = ""
) -> None:
    """Raise InputError for the first that is not there, with `most` of the choices; `where` begins the message."""
    for one in given:
        if not isinstance(one, str) or one not in there:
            names = sorted(map(str, there))
            more = f" and {len(names) - most:,} more" if most is not None and len(names) > most else ""
            raise InputError(where + choose(what, str(one), names[:most]) + more)


def paths(given: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[str]:
    """Paths as texts; one may stand for a list of one."""
    return [os.fspath(one) for one in ([given] if isinstance(given, str | os.PathLike) else given)]


def plain(value: Any) -> Any:
    """A value as a study file would have it: lists, mappings, numbers and texts."""
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.tolist() if hasattr(value, "tolist") else value  # an array, a series, or a number of theirs
