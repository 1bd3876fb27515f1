"""Where two methods swap places as training goes on: against optimiser steps, seconds and FLOPs.

Within runs these are points of learning curves (a run's schedule was made for its own end); across budgets, where a
study has several of one unit, they are points of runs made for each. Both are paired by seed; between points scores are
taken as straight in log x. Seconds come from runs that had their device to themselves.

The mean curves of two equal methods cross somewhere in nearly every study. A swap is shown only where `method` is
behind at a point before the crossing and ahead at one after it by t tests that are corrected for all points, couples
and axes that were looked at (Bonferroni); the crossing's interval then ends on both sides. A wrong swap needs at least
one wrong test, so a report has one with a chance of ALPHA / 2 at most.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from finebench.analysis.costs.data_efficiency import open_ends
from finebench.analysis.load.cost_columns import alone, device
from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import groups, largest, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.load.traces import Trace, traces
from finebench.analysis.scores.learning_curves import learning_curve
from finebench.analysis.scores.scores import reporting
from finebench.analysis.statistics.design import Design, design, independent, mean_variance
from finebench.analysis.statistics.root import Root, first_root
from finebench.analysis.statistics.sample import Sample

AXES = {"steps": "step", "seconds": "train_seconds", "flops": "train_flops"}
"""Axes within runs, and the column of `evals` that holds each."""

POINTS = 24
"""Points of the common axis, evenly spaced in log x, on which runs that were evaluated at different x are compared."""


ALPHA = 0.05
"""Of all two-sided t tests of a report; `tests/analysis/costs/test_crossover_error_rates.py` simulates wrong swaps."""


class Curves(NamedTuple):
    """Scores of one method by seed: each a curve of increasing x > 0 and y."""

    by_seed: dict[int, tuple[np.ndarray, np.ndarray]]
    ended: frozenset[int]
    """Seeds whose run diverged: their curve stops early and stays at the constant predictor's score."""
    device: str = ""
    """The kind of device that x was measured on, where it depends on it."""


def crossovers(
    runs: pd.DataFrame, evals: pd.DataFrame, scores: pd.DataFrame, samples: Mapping[Key, Sample]
) -> pd.DataFrame:
    """One row per pair of methods and axis whose mean curves cross: the last crossing, after which `method` is ahead.

    Columns: task, fraction, budget, budget_label, kind (learning curve | across budgets), axis (steps, seconds or
    flops), method (ahead after), other (ahead before), x, low, high (95 %), n (pairs), final (the difference at the
    end), shown (beyond the noise of the seeds, as above), why. At the largest fraction for learning curves; budget is
    missing across budgets.
    """
    compared = [one for one in (*_within(runs, evals, scores), *_across(scores, samples)) if one.difference.size]
    tests = sum(one.axis.size for one in compared)
    made = [(one, swap(one.axis, one.difference, tests, one.over)) for one in compared]
    return pd.DataFrame([_row(one, crossing) for one, crossing in made if crossing is not None])


class Compared(NamedTuple):
    """Two methods on one axis [P]: the difference a − b on it by seed [S, P], and what the row says of the place."""

    head: dict[str, Any]
    a: str
    b: str
    axis: np.ndarray
    difference: np.ndarray
    over: Design


def _within(runs: pd.DataFrame, evals: pd.DataFrame, scores: pd.DataFrame) -> Iterator[Compared]:
    top = largest(scores[scores["n"] > 0])
    parts = groups(runs, [*CELL, "configuration"])
    rows_of: dict[tuple[Any, ...], dict[str, pd.DataFrame]] = {}
    for row in records(top):
        rows, _ = reporting(parts[(*(row[key] for key in CELL), row["configuration"])])
        place = (row["task"], row["fraction"], row["budget"])
        rows_of.setdefault(place, {})[row["method"]] = rows[rows["is_result"]]
    wanted = {trial for methods in rows_of.values() for rows in methods.values() for trial in rows["trial_id"]}
    by_trial = traces(evals[evals["trial_id"].isin(wanted)])
    for (task, fraction, budget), methods in rows_of.items():
        head = {"task": task, "fraction": fraction, "budget": budget, "budget_label": budget_label(budget)}
        for axis, column in AXES.items():
            found = {name: _curves(rows, by_trial, axis, column) for name, rows in methods.items()}
            for a, b in itertools.combinations(sorted(name for name in found if found[name].by_seed), 2):
                if found[a].device == found[b].device:
                    yield Compared(head | {"kind": "learning curve", "axis": axis}, a, b, *_common(found[a], found[b]))


def _curves(rows: pd.DataFrame, by_trial: dict[str, Trace], axis: str, column: str) -> Curves:
    kind = ""
    if axis == "seconds":
        rows = alone(rows)
        if len(kinds := sorted(set(device(rows)))) > 1:
            return Curves({}, frozenset())
        kind = "".join(kinds)
    made, ended = {}, []
    for run in records(rows):
        part = by_trial.get(run["trial_id"])
        diverged = run["status"] == "diverged"
        if part is None and not diverged:
            return Curves({}, frozenset())  # without its evaluations the mean curve would be an average over a hole
        made[int(run["seed"])] = _line(part, column, float(run["constant"]), diverged)
        ended += [int(run["seed"])] * diverged
    return Curves(made, frozenset(ended), kind)


def _line(part: Trace | None, column: str, constant: float, diverged: bool) -> tuple[np.ndarray, np.ndarray]:
    if part is None:
        return np.ones(1), np.full(1, constant)
    _, _, values = learning_curve(part, constant, False)
    x = np.asarray(getattr(part, column), dtype=np.float64)[part.first]
    known = np.isfinite(x) & (x > 0)
    x, values = x[known], values[known]
    if diverged and x.size:
        x, values = np.append(x, x[-1] * (1 + 1e-9)), np.append(values, constant)
    return x, values


def _over(seeds: list[int]) -> Design:
    return design(np.array(seeds, dtype=np.int64))


def _common(a: Curves, b: Curves) -> tuple[np.ndarray, np.ndarray, Design]:
    """A common axis [P], the difference a − b on it by seed [S, P] and how those seeds stand to each other; empty where
    the curves do not overlap."""
    seeds = sorted(set(a.by_seed) & set(b.by_seed))
    whole = [curves.by_seed[seed][0] for curves in (a, b) for seed in seeds if seed not in curves.ended]
    empty = np.empty(0), np.empty((0, 0)), _over(seeds)
    if not whole or any(x.size < 2 for x in whole):
        return empty
    start, end = max(float(x[0]) for x in whole), min(float(x[-1]) for x in whole)
    if not start < end:
        return empty
    same = all(np.array_equal(x, whole[0]) for x in whole)
    axis = whole[0] if same else np.geomspace(start, end, POINTS)
    return axis, np.stack([_at(a.by_seed[seed], axis) - _at(b.by_seed[seed], axis) for seed in seeds]), _over(seeds)


def _at(line: tuple[np.ndarray, np.ndarray], axis: np.ndarray) -> np.ndarray:
    made: np.ndarray = np.interp(np.log(axis), np.log(line[0]), line[1])
    return made


class Crossing(NamedTuple):
    """A root with the difference at the end; `flipped` where the first method is ahead before and not after."""

    root: Root
    final: float
    flipped: bool
    shown: bool
    """Whether the order before and after it is more than noise of the seeds."""


def swap(axis: np.ndarray, difference: np.ndarray, tests: int, over: Design | None = None) -> Crossing | None:
    """The last crossing of the mean of `difference` [S, P] over `axis` [P]; None where its sign is the same throughout.

    `tests` is the number of points, on all axes of all couples, that the report looks at; `over` says how the seeds
    stand to each other, independent without.
    """
    final = float(difference[:, -1].mean())
    flipped = final < 0
    curves = -difference if flipped else difference
    of = over or independent(len(curves))
    root = first_root(axis, curves, last=True, over=of)
    if root.outcome != "crosses" or final == 0:
        return None
    order = _order(curves, tests, of)
    before = order[(axis < root.value) & (order != 0)]
    shown = bool(before.size and before[-1] < 0 and (order[axis > root.value] > 0).any())
    return Crossing(root, abs(final), flipped, shown)


def _order(curves: np.ndarray, tests: int, of: Design) -> np.ndarray:
    """Sign of the mean [P] of `curves` [S, P] where it differs from 0 by a corrected t test, else 0."""
    mean = curves.mean(axis=0)
    if len(curves) < 2 or of.why:
        return np.zeros_like(mean)
    variance, df = mean_variance(curves, of)
    least = stats.t.ppf(1 - ALPHA / (2 * tests), df) * np.sqrt(variance)
    made: np.ndarray = np.where(np.abs(mean) > least, np.sign(mean), 0.0)
    return made


def _row(one: Compared, made: Crossing) -> dict[str, Any]:
    ahead, behind = (one.b, one.a) if made.flipped else (one.a, one.b)
    root = made.root
    ends = {key: value if math.isfinite(value) else math.nan for key, value in (("low", root.low), ("high", root.high))}
    named = one.head | {"method": ahead, "other": behind, "x": root.value} | ends
    return named | {"n": root.n, "final": made.final, "shown": made.shown, "why": open_ends(root)}


def _across(scores: pd.DataFrame, samples: Mapping[Key, Sample]) -> Iterator[Compared]:
    scored = scores[scores["n"] > 0]
    amounts = {budget: amount(str(budget)) for budget in scored["budget"].unique()}
    for unit in AXES:
        known = {budget: found[1] for budget, found in amounts.items() if found is not None and found[0] == unit}
        here = scored[scored["budget"].isin(list(known))]
        for (task, fraction), rows in here.groupby(["task", "fraction"]):
            budgets = sorted(set(rows["budget"]), key=known.__getitem__)
            if len(budgets) < 2:
                continue
            x = np.array([known[budget] for budget in budgets])
            keys: dict[str, list[Key]] = {
                m: [(str(task), float(str(fraction)), budget, m) for budget in budgets]
                for m in sorted(set(rows["method"]))
            }
            lines = {m: stacked([samples[k] for k in own]) for m, own in keys.items() if all(k in samples for k in own)}
            for a, b in itertools.combinations(lines, 2):
                head = {"task": task, "fraction": fraction, "budget": None, "budget_label": "across budgets"}
                seeds = sorted(set(lines[a]) & set(lines[b]))
                difference = np.array([np.subtract(lines[a][s], lines[b][s]) for s in seeds])
                yield Compared(head | {"kind": "across budgets", "axis": unit}, a, b, x, difference, _over(seeds))


def stacked(given: list[Sample]) -> dict[int, list[float]]:
    """Scores of several samples by the seeds that all of them have."""
    by_seed = [dict(zip(one.seeds.tolist(), one.entered.tolist(), strict=True)) for one in given]
    seeds = set.intersection(*(set(one) for one in by_seed))
    return {seed: [one[seed] for one in by_seed] for seed in sorted(seeds)}


def amount(budget: str) -> tuple[str, float] | None:
    """Unit and amount of a budget without a floor; None of anything else."""
    try:
        raw = json.loads(budget)
    except ValueError:
        return None
    if not isinstance(raw, dict) or len(raw) != 1:
        return None
    unit, value = next(iter(raw.items()))
    return (str(unit), float(value)) if isinstance(value, int | float) else None
