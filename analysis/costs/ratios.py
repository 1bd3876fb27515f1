"""Costs as ratios to the method that trains most parameters, over all tasks of a budget: paired by task and seed."""

import math
from collections import Counter
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finebench.analysis.load.cost_columns import (
    BOUND,
    COUNTED,
    LABELS,
    OF_A_TRIAL,
    alone,
    cell,
    chosen_rows,
    kinds_of,
    of_one_kind,
    per_seed,
    reference,
)
from finebench.analysis.load.frames import largest, records
from finebench.analysis.load.runs import budget_label
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.ratio import paired_ratio

Array = NDArray[np.float64]

RATIOS = ("encoder_params", *OF_A_TRIAL)
"""Costs that are shown as ratios."""


def paired(pairs: list[tuple[pd.DataFrame, pd.DataFrame]], cost: str) -> tuple[Estimate, str]:
    """The ratio of a cost between rows of one method and of another, paired by seed within each task's pair of frames;
    and the kind of device that it is of, empty where it is of any. Pairs without runs on that kind are left out.

    Over several tasks it is the geometric mean over them, by the seeds that all have: a seed's tasks are no independent
    pairs, and how far tasks lie apart is no noise of these tasks. A counted cost is known exactly and gets no
    interval. A cost of 0 (no encoder parameter trained) gives 0 where all of them are.
    """
    kind, measured = of_one_kind(pairs, [cost])
    sides = [both for mine, theirs in measured if (both := _sides(mine, theirs, cost))[0].size]
    return _ratio(sides, cost), kind


def _ratio(sides: list["Side"], cost: str) -> Estimate:
    if sides and all((x == 0).all() and (y > 0).all() for x, y, _ in sides):
        return Estimate(0.0, math.nan, math.nan, sum(x.size for x, _, _ in sides), "a cost of 0: no interval")
    sides = [(x[known], y[known], own[known]) for x, y, own in sides if (known := (x > 0) & (y > 0)).any()]
    x, y = (np.concatenate([*(both[i] for both in sides), np.empty(0)]) for i in (0, 1))
    if cost in COUNTED:
        return _exact(paired_ratio(x, y), x / y)
    if len(sides) < 2:
        return paired_ratio(x, y, seeds=sides[0][2] if sides else None)
    common = reduce(np.intersect1d, [own for _, _, own in sides])
    if common.size < 2:
        value = math.exp(float(np.mean([np.log(a / b).mean() for a, b, _ in sides])))
        return Estimate(value, math.nan, math.nan, x.size, "fewer than two seeds that all tasks have: no interval")
    logs = np.mean([np.log(a / b)[np.isin(own, common)] for a, b, own in sides], axis=0)
    made = paired_ratio(np.exp(logs), np.ones_like(logs), seeds=common)
    how = f"log-ratio t, 95%, {common.size} seeds on {len(sides)} tasks" if made.has_interval else made.method
    return made._replace(n=common.size * len(sides), method=how)


Side = tuple[Array, Array, NDArray[np.int64]]


def _sides(mine: pd.DataFrame, theirs: pd.DataFrame, cost: str) -> Side:
    """A cost of both by common seed, and those seeds; of a counted one a single value."""
    a, b = per_seed(mine, cost), per_seed(theirs, cost)
    if cost in COUNTED and len(a) and len(b):  # no matter of seeds
        a, b = a.iloc[:1].reset_index(drop=True), b.iloc[:1].reset_index(drop=True)
    seeds = a.index.intersection(b.index)
    both = (np.asarray(side[seeds], dtype=np.float64) for side in (a, b))
    x, y = both
    return x, y, np.asarray(seeds, dtype=np.int64)


def _exact(found: Estimate, ratios: Array) -> Estimate:
    """A counted ratio: without an interval, and with its range where it differs by task (by the size of the head)."""
    if not found.has_interval:
        return found
    said = f"{ratios.min():.3g} to {ratios.max():.3g} by task: a count, no interval"
    return Estimate(found.value, math.nan, math.nan, found.n, said)


def ratios(runs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per budget × method × cost: columns budget, budget_label, method, reference, cost, label, ratio, low,
    high, n (pairs), tasks, device, why. At the largest fraction of each task; only tasks that both methods have, and of
    what depends on the kind of device those that both have on one kind; where there are none, no ratio and the reason.
    """
    rows_of = chosen_rows(runs, largest(scores[scores["n"] > 0]))
    found: dict[str, dict[str, dict[str, pd.DataFrame]]] = {}
    first: dict[str, list[str]] = {}
    for (_, budget), rows in largest(scores[scores["n"] > 0]).groupby(["task", "budget"], sort=True):
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
                pairs = [(methods[method][task], methods[most][task]) for task in tasks]
                ratio, kind = paired(pairs, cost)
                on = {"cost": cost, "label": LABELS[cost], "device": kind}
                if ratio.n:
                    made.append(head | on | {"tasks": _tasks(pairs, cost)} | _shown(ratio))
                elif apart := _apart(pairs, cost, method, most):
                    made.append(head | on | {"device": "", "tasks": 0} | _shown(ratio) | {"why": apart})
    return pd.DataFrame(made)


def _tasks(pairs: list[tuple[pd.DataFrame, pd.DataFrame]], cost: str) -> int:
    """Pairs that a ratio is of."""
    return sum(all(len(rows) for rows in pair) for pair in of_one_kind(pairs, [cost])[1])


def _apart(pairs: list[tuple[pd.DataFrame, pd.DataFrame]], cost: str, method: str, other: str) -> str:
    """Why a cost that both methods have been measured by has no ratio; empty where one has not."""
    sides = [pd.concat(side) for side in zip(*pairs, strict=True)] if pairs else []
    if cost not in BOUND or not sides or any(alone(side)[cost].dropna().empty for side in sides):
        return ""
    ran = [f"{name} on {kinds_of(side, cost)}" for name, side in zip((method, other), sides, strict=True)]
    return f"no task has both on one kind of device: {', '.join(ran)}"


def _shown(ratio: Estimate) -> dict[str, Any]:
    why = "" if ratio.has_interval else ratio.method
    return {"ratio": ratio.value, "low": ratio.low, "high": ratio.high, "n": ratio.n, "why": why}
