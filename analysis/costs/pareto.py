"""The Pareto front of score against each cost and several at once, with each method's probability to be on it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.cost_columns import LABELS, OF_A_TRIAL, chosen_rows, kinds_of, of_one_kind, per_seed
from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import groups, largest, records
from finebench.analysis.load.runs import budget_label
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.pareto import front, front_probability
from finebench.analysis.statistics.sample import Sample

SINGLE = ("trainable_params", *OF_A_TRIAL)

TOGETHER = ("delta_bytes", "train_seconds", "peak_memory_bytes")
"""What a user pays at once: storage, time and memory; those of them that were measured for every method."""

SEED = 1906
"""Of the bootstrap: the same folder gives the same report."""


def fronts(runs: pd.DataFrame, scores: pd.DataFrame, samples: Mapping[Key, Sample]) -> pd.DataFrame:
    """One row per task × budget × cost × method, at the largest fraction, among the methods whose cost is known.

    Columns: task, fraction, budget, budget_label, cost (a column, or "several"), label, method, score, value (mean cost
    over seeds; missing for several), on_front, probability (over resampled seeds), n (seeds that all methods have),
    beaten_by (the first method that dominates it), device (the kind that all costs of a front were measured on; empty
    where they do not depend on it), why.
    """
    top = largest(scores[scores["n"] > 0])
    rows_of = chosen_rows(runs, top)
    made: list[dict[str, Any]] = []
    for (task, fraction, budget), rows in groups(top, ["task", "fraction", "budget"]).items():
        head = {"task": task, "fraction": fraction, "budget": budget, "budget_label": budget_label(budget)}
        names = [row["method"] for row in records(rows) if (task, fraction, budget, row["method"]) in rows_of]
        mine = {name: rows_of[task, fraction, budget, name] for name in names}
        own = {name: samples[task, fraction, budget, name] for name in names}
        for cost in SINGLE:
            made += _front(head | {"cost": cost, "label": LABELS[cost]}, own, mine, (cost,))
        known = tuple(cost for cost in TOGETHER if all(len(per_seed(mine[name], cost)) for name in names))
        if len(known) > 1:
            label = ", ".join(LABELS[cost] for cost in known)
            made += _front(head | {"cost": "several", "label": label}, own, mine, known)
    return pd.DataFrame(made)


def _front(
    head: dict[str, Any], samples: dict[str, Sample], mine: dict[str, pd.DataFrame], wanted: tuple[str, ...]
) -> list[dict[str, Any]]:
    kind, measured = of_one_kind([[mine[name]] for name in samples], wanted)
    costs = {
        name: {cost: per_seed(rows, cost) for cost in wanted} for name, [rows] in zip(samples, measured, strict=True)
    }
    names = [name for name in samples if all(len(costs[name][cost]) for cost in wanted)]
    if len(names) < 2:
        return []
    seeds = sorted(set.intersection(*(set(samples[name].seeds.tolist()) for name in names)))
    if not seeds:
        return []
    score = np.stack([_by_seed(samples[name], seeds) for name in names], axis=1)
    cost = np.stack([np.stack([_costs(costs[name][c], seeds) for c in wanted], axis=1) for name in names], axis=1)
    means, mean_costs = score.mean(axis=0), cost.mean(axis=0)
    on, over = front(means, mean_costs), design(np.array(seeds, dtype=np.int64))
    share = front_probability(score, cost, np.random.default_rng(SEED), over)
    why = over.why if len(seeds) > 1 else "one seed in common: no probability"
    why = "; ".join(filter(None, [why, *_elsewhere(mine, names, wanted)]))
    return [
        head
        | {"method": name, "score": float(means[i]), "value": float(mean_costs[i, 0]) if len(wanted) == 1 else None}
        | {"on_front": bool(on[i]), "probability": float(share[i]), "n": len(seeds), "why": why}
        | {"beaten_by": _beaten_by(i, names, means, mean_costs), "device": kind}
        for i, name in enumerate(names)
    ]


def _elsewhere(mine: dict[str, pd.DataFrame], names: list[str], wanted: tuple[str, ...]) -> list[str]:
    """A phrase for each method that was measured, and on no kind of device that the front is of."""
    left = [
        (name, rows) for name, rows in mine.items() if name not in names and all(len(per_seed(rows, c)) for c in wanted)
    ]
    return [f"without {name}, measured on {kinds_of(rows, wanted[-1])}" for name, rows in left]


def _by_seed(sample: Sample, seeds: list[int]) -> np.ndarray:
    return sample.entered[np.searchsorted(sample.seeds, seeds)]


def _costs(known: pd.Series, seeds: list[int]) -> np.ndarray:
    """A cost by seed; the mean of the known seeds where a seed's run did not have its device to itself."""
    filled: np.ndarray = known.reindex(seeds).fillna(float(known.mean())).to_numpy(dtype="float64")
    return filled


def _beaten_by(i: int, names: list[str], means: np.ndarray, costs: np.ndarray) -> str:
    for j, name in enumerate(names):
        both = np.array([i, j])
        if j != i and not front(means[both], costs[both])[0]:
            return name
    return ""
