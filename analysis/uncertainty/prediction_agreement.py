"""Stability of predictions across seeds: how many examples two runs of one configuration disagree on."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.expected import Key
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.statistics.agreement import agreement
from finebench.analysis.statistics.sample import Sample


def stability(samples: Mapping[Key, Sample]) -> pd.DataFrame:
    """One row per cell with predictions of at least two seeds that neither collapsed nor diverged.

    Columns: the cell's, budget_label, metric, n (seeds compared), examples, kind (classes or numbers), disagreement,
    disagreement_min, disagreement_max (over pairs of seeds), unanimous, both_wrong, sd (of the scores). For what they
    are of numbers see `agreement`.
    """
    made = [_row(key, sample) for key, sample in samples.items() if sample.predictions is not None]
    return pd.DataFrame([row for row in made if row])


def _row(key: Key, sample: Sample) -> dict[str, Any]:
    free = sample.predicted
    if sample.labels is None or sample.predictions is None or free.sum() < 2:
        return {}
    classes = sample.kind == "classification"
    found = agreement(sample.labels, sample.predictions[free].astype(np.float64), classes)
    head: dict[str, Any] = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
    return head | {
        "metric": sample.metric,
        "n": int(free.sum()),
        "examples": sample.n_examples,
        "kind": "classes" if classes else "numbers",
        "disagreement": found.disagreement,
        "disagreement_min": found.least,
        "disagreement_max": found.most,
        "unanimous": found.unanimous,
        "both_wrong": found.both_wrong,
        "sd": float(sample.entered[free].std(ddof=1)),
    }
