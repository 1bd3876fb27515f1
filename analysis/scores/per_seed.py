"""Every run behind a score, by its seed: what a mean and its interval are made of."""

from typing import Any

import pandas as pd

from finebench.analysis.load.frames import records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.samples import Samples


def per_seed(samples: Samples) -> pd.DataFrame:
    """One row per reported run of each cell's chosen configuration.

    Columns: the cell's, budget_label, metric, setting, seed, score (what entered), collapsed, trial_id.
    """
    kept = ("metric", "setting", "seed", "collapsed", "trial_id")
    made: list[dict[str, Any]] = []
    for key in samples:
        head: dict[str, Any] = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
        for row in records(samples.rows(key)):
            made.append(head | {column: row[column] for column in kept} | {"score": row["entered"]})
    return pd.DataFrame(made)
