"""Frames as plain Python: rows as dicts, groups as a dict."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

Row = dict[str, Any]


def records(frame: pd.DataFrame) -> list[Row]:
    """The rows as dicts, missing values as pandas holds them."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def finite(frame: pd.DataFrame) -> pd.DataFrame:
    """A copy with NaN in place of infinite numbers: an overflow, or a division by zero, is no value to show."""
    return frame.apply(_finite) if len(frame) else frame.copy()


def finite_or_none(value: Any) -> Any:
    """A single value for JSON, which has neither NaN nor infinity."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite(column: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(column):
        return column.replace([math.inf, -math.inf], math.nan)
    if column.dtype != object:
        return column
    return column.map(lambda value: math.nan if isinstance(value, float) and math.isinf(value) else value)


def groups(frame: pd.DataFrame, keys: Sequence[str]) -> dict[Any, pd.DataFrame]:
    """The rows of each distinct tuple of `keys`; rows with a missing key are left out."""
    return {key: rows for key, rows in frame.groupby(list(keys), sort=True)}


def largest(scored: pd.DataFrame) -> pd.DataFrame:
    """The rows at the largest fraction of each task and budget that has a score (or is planned)."""
    keys = ["task", "budget"]
    top = scored["fraction"].where(scored["n"] > 0).groupby([scored[key] for key in keys]).transform("max")
    top = top.fillna(scored.groupby(keys)["fraction"].transform("max"))
    return scored[scored["fraction"] == top].reset_index(drop=True)
