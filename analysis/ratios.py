"""Costs as ratios to the method that trains most parameters, over all tasks of a budget: paired by task and seed."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from analysis.costs import COUNTED, LABELS, cell, chosen_rows, largest, per_seed, reference
from analysis.frames import records
from analysis.runs import budget_label
from analysis.statistics.estimate import Estimate
from analysis.statistics.ratio import paired_ratio

RATIOS = ("encoder_params", "delta_bytes", "train_seconds", "peak_memory_bytes", "train_flops", "energy_joules")
"""Costs that are shown as ratios."""


def paired(pairs: list[tuple[pd.DataFrame, pd.DataFrame]], cost: str) -> Estimate:
    """The ratio of a cost between rows of one method and of another, paired by seed within each task's pair of frames.

    A counted cost is a constant: its pairs have no spread and it gets no interval. A cost of 0 (no encoder parameter
    trained) gives 0 where all of them are.
    """
    own: list[float] = []
    other: list[float] = []
    for mine, theirs in pairs:
        a, b = per_seed(mine, cost), per_seed(theirs, cost)
        if cost in COUNTED and len(a) and len(b):  # no matter of seeds
            a, b = a.iloc[:1].reset_index(drop=True), b.iloc[:1].reset_index(drop=True)
        seeds = a.index.intersection(b.index)
        own += a[seeds].tolist()
        other += b[seeds].tolist()
    x, y = np.array(own, dtype=np.float64), np.array(other, dtype=np.float64)
    if x.size and (x == 0).all() and (y > 0).all():
        return Estimate(0.0, float("nan"), float("nan"), x.size, "a cost of 0: no interval")
    return paired_ratio(x, y)


def ratios(runs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per budget × method × cost: columns budget, budget_label, method, reference, cost, label, ratio, low,
    high, n (pairs), tasks, why. At the largest fraction of each task; only tasks that both methods have.
    """
    rows_of = chosen_rows(runs, largest(scores))
    found: dict[str, dict[str, dict[str, pd.DataFrame]]] = {}
    first: dict[str, list[str]] = {}
    for (_, budget), rows in largest(scores).groupby(["task", "budget"], sort=True):
        first.setdefault(str(budget), []).append(reference(rows))
        for row in records(rows):
            if cell(row) in rows_of:
                found.setdefault(str(budget), {}).setdefault(row["method"], {})[row["task"]] = rows_of[cell(row)]
    made: list[dict[str, Any]] = []
    for budget, methods in found.items():
        most = Counter(sorted(first[budget])).most_common(1)[0][0]
        for method in (name for name in methods if name != most and most in methods):
            tasks = [task for task in methods[method] if task in methods[most]]
            head = {"budget": budget, "budget_label": budget_label(budget), "method": method, "reference": most}
            for cost in RATIOS:
                ratio = paired([(methods[method][task], methods[most][task]) for task in tasks], cost)
                if ratio.n:
                    made.append(head | {"cost": cost, "label": LABELS[cost], "tasks": len(tasks)} | _shown(ratio))
    return pd.DataFrame(made)


def _shown(ratio: Estimate) -> dict[str, Any]:
    why = "" if ratio.has_interval else ratio.method
    return {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "n": ratio.n, "why": why}
