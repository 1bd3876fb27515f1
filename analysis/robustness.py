"""Whether a score rests on its degenerate runs or on its mean: the sensitivity analysis of the scores."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.frames import records
from analysis.planned import Key
from analysis.runs import CELL, budget_label
from analysis.statistics.location import iqm, median
from analysis.statistics.mean import mean_t
from analysis.statistics.proportion import clopper_pearson
from analysis.statistics.sample import Sample
from analysis.statistics.spread import extremes, sd


def robustness(samples: Mapping[Key, Sample], scores: pd.DataFrame) -> pd.DataFrame:
    """One row per scored cell: its score as reported, beside what else the same runs may be summed up as.

    Columns: the cell's, budget_label, metric, score, low, high, n; left_out (collapsed and diverged runs), without,
    without_low and without_high (mean and Student's interval of the others), change (without − score); median, iqm,
    min, max, sd; degenerate, degenerate_share with degenerate_low and degenerate_high (exact binomial).
    """
    made: list[dict[str, Any]] = []
    for row in records(scores[scores["n"] > 0]):
        key = (row["task"], row["fraction"], row["budget"], row["method"])
        if key in samples:
            made.append(_row(key, row, samples[key]))
    return pd.DataFrame(made)


def _row(key: Key, row: dict[str, Any], sample: Sample) -> dict[str, Any]:
    others, ends = sample.entered[~sample.fixed], extremes(sample.entered)
    without = mean_t(others)
    share = clopper_pearson(row["degenerate"], row["n"])
    made: dict[str, Any] = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
    made |= {column: row[column] for column in ("metric", "score", "low", "high", "n", "degenerate")}
    return made | {
        "left_out": int(sample.fixed.sum()),
        "without": without.value,
        "without_low": without.low,
        "without_high": without.high,
        "change": without.value - row["score"] if others.size else math.nan,
        "median": median(sample.entered),
        "iqm": iqm(sample.entered),
        "min": ends.low,
        "max": ends.high,
        "sd": sd(sample.entered),
        "degenerate_share": share.value,
        "degenerate_low": share.low,
        "degenerate_high": share.high,
    }
