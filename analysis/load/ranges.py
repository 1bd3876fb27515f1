"""What is shown of an interval ends where its metric does: an accuracy has no 95 % limit above 1.

Intervals are made without regard to that (tests and verdicts need the whole of them); here is cut what tables and
figures show. A difference of two scores lies between minus and plus the width of the metric's range.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from finebench.bench.metrics import find
from finebench.bench.study.parts.claim_kinds import kind

SCORE = {
    "scores": ("low", "high"),
    "variants": ("low", "high"),
    "sensitivity": ("low", "high"),
    "curves": ("low", "high"),
    "robustness": ("low", "high", "without_low", "without_high"),
    "equal_budget": ("low", "high", "default_low", "default_high"),
}
"""Frames whose rows have a `metric`, and the ends in them of intervals of scores."""

DIFFERENCE = {"pairs": ("low", "high"), "equal_budget": ("gain_low", "gain_high"), "changes": ("low", "high")}
"""The same of differences of two scores."""

Row = dict[str, Any]


def span(metric: object) -> tuple[float, float]:
    """Least and greatest value of a metric; infinite of one that is not known here."""
    known = find(str(metric))
    return (-math.inf, math.inf) if known is None else known.range


def width(metric: object) -> float:
    """The greatest difference of two scores."""
    least, most = span(metric)
    return most - least


def within_range(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of this name with its intervals cut to the ranges of its rows' metrics."""
    if frame.empty or "metric" not in frame:
        return frame
    made = frame.copy()
    for keys, ends in ((SCORE, span), (DIFFERENCE, lambda metric: (-width(metric), width(metric)))):
        bounds = [ends(metric) for metric in frame["metric"]]
        for key in keys.get(name, ()):
            least, most = (pd.Series(end, frame.index, dtype="float64") for end in zip(*bounds, strict=True))
            made[key] = frame[key].astype("float64").clip(least, most)
    return made


def claim_within_range(claim: Row, metrics: Mapping[str, str]) -> Row:
    """A claim, as in claims.json, with intervals of differences cut; `metrics` by task (pooled: the widest)."""
    if not kind(claim["says"]).of_means or claim["scale"] == "gain":
        return claim
    found = [_cut(row, _widest(row["task"], claim["task_names"], metrics)) for row in claim["per_task"]]
    return _cut(claim, _widest(claim["task"], claim["task_names"], metrics)) | {"per_task": found}


def _widest(task: object, tasks: Sequence[str], metrics: Mapping[str, str]) -> float:
    named = [str(task)] if task in metrics else tasks
    return max((width(metrics.get(one)) for one in named), default=math.inf)


def _cut(row: Row, most: float) -> Row:
    return row | {end: None if row[end] is None else min(max(row[end], -most), most) for end in ("low", "high")}
