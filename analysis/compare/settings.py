"""What differs between two results folders in how they were made: study, model, versions, commit, machine."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd

from finebench.analysis.load.read import Results
from finebench.analysis.report.protocol import version_sets

MADE = ("model", "precision", "git_commit", "device", "hostname", "schema_version")
"""Columns of `trials` that say what made a row."""


def settings(a: Results, a_runs: pd.DataFrame, b: Results, b_runs: pd.DataFrame) -> pd.DataFrame:
    """One row per setting whose values differ: where it stands, its name, A's and B's value ("" where it is absent)."""
    left, right = (dict(_settings(results, runs)) for results, runs in ((a, a_runs), (b, b_runs)))
    keys = dict.fromkeys([*left, *right])
    made = [
        {"where": where, "setting": name, "a": left.get((where, name), ""), "b": right.get((where, name), "")}
        for where, name in keys
    ]
    return pd.DataFrame([row for row in made if row["a"] != row["b"]], columns=["where", "setting", "a", "b"])


def _settings(results: Results, runs: pd.DataFrame) -> Iterator[tuple[tuple[str, str], str]]:
    yield from ((("study", key), text) for key, text in _flat(results.study))
    for column in MADE:
        yield ("rows", column.replace("_", " ")), ", ".join(sorted(map(str, set(runs[column].dropna()))))
    yield ("rows", "left out"), "; ".join(results.left_out)
    for name, values in sorted(version_sets(runs).items()):
        yield ("versions", name), ", ".join(sorted(values))


def _flat(value: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Mappings opened into dotted keys; everything else as JSON."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _flat(one, f"{at}.{key}" if at else str(key))
    else:
        yield at, value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
