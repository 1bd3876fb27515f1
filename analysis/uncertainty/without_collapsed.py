"""Whether a score rests on its collapsed runs or on its mean: the sensitivity analysis of the scores."""

import math
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.samples import Samples
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.location import iqm, median
from finebench.analysis.statistics.mean import mean_t
from finebench.analysis.statistics.proportion import clopper_pearson, effective
from finebench.analysis.statistics.spread import extremes, sd


def robustness(samples: Samples, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per scored cell: its score as reported, beside what else the same runs may be summed up as.

    Columns: the cell's, budget_label, metric, score, low, high, n; left_out (collapsed runs, with or without stored
    predictions), without, without_low and without_high (mean and Student's interval of the others), change (without −
    score); median, iqm, min, max, sd; collapsed, collapsed_share with collapsed_low and collapsed_high (exact
    binomial).
    """
    made: list[dict[str, Any]] = []
    for row in records(scores[scores["n"] > 0]):
        key = (row["task"], row["fraction"], row["budget"], row["method"])
        if key in samples:
            made.append(_row(key, row, samples.rows(key)))
    return pd.DataFrame(made)


def _row(key: Key, row: dict[str, Any], runs: pd.DataFrame) -> dict[str, Any]:
    entered, left_out = runs["entered"].to_numpy(dtype="float64"), runs["collapsed"].to_numpy(dtype=bool)
    others, ends = entered[~left_out], extremes(entered)
    seeds = runs["seed"].to_numpy(dtype=np.int64)
    without = mean_t(others, over=design(seeds[~left_out]))
    worth = effective(left_out.astype(np.float64), design(seeds))  # of crossed runs, as many as they are independent
    share = clopper_pearson(float(left_out.mean()) * worth, worth)
    made: dict[str, Any] = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
    made |= {column: row[column] for column in ("metric", "score", "low", "high", "n", "collapsed")}
    return made | {
        "left_out": int(left_out.sum()),
        "without": without.value,
        "without_low": without.low,
        "without_high": without.high,
        "change": without.value - row["score"] if others.size else math.nan,
        "median": median(entered),
        "iqm": iqm(entered),
        "min": ends.low,
        "max": ends.high,
        "sd": sd(entered),
        "collapsed_share": share.value,
        "collapsed_low": share.low,
        "collapsed_high": share.high,
    }
