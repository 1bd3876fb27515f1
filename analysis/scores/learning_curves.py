"""Learning curves: the score had training stopped here, inside the runs of the chosen configuration.

Points of a longer run: its schedule was made for its own end, so a curve is no substitute for runs at a smaller budget.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.cost_columns import alone, device, of_one_kind
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.load.traces import Trace, traces
from finebench.analysis.scores.scores import reporting
from finebench.analysis.statistics.design import Design, design
from finebench.analysis.statistics.mean import mean_t

Curve = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Steps, train seconds and scores of one run, [evaluations] each."""


def curves(runs: pd.DataFrame, evals: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per cell × step at which every run of the chosen configuration was evaluated.

    Columns: the cell's, budget_label, metric, step, train_seconds (mean of the runs that had their device to
    themselves, of one kind of device for all methods of a place), device (that kind), train_flops (mean), score, low,
    high, n. A run whose metric is undefined, or that diverged, stands at its constant predictor's score from there on.
    """
    by_trial = traces(evals)
    made: list[dict[str, Any]] = []
    wanted = scores[scores["n"] > 0]
    parts = groups(runs, [*CELL, "configuration"])
    reported: dict[tuple[Any, ...], pd.DataFrame] = {}
    for row in records(wanted):
        cell = tuple(row[key] for key in CELL)
        rows, _ = reporting(parts[(*cell, row["configuration"])])
        reported[cell] = rows[rows["is_result"]]
    by_place: dict[tuple[Any, ...], list[pd.DataFrame]] = {}
    for cell, rows in reported.items():
        by_place.setdefault(cell[:3], []).append(rows)
    kinds = {place: of_one_kind([[rows] for rows in some], ["train_seconds"])[0] for place, some in by_place.items()}
    for cell, rows in reported.items():
        made += _cell(dict(zip(CELL, cell, strict=True)) | {"device": kinds[cell[:3]]}, rows, by_trial)
    return pd.DataFrame(made)


def _cell(head: dict[str, Any], rows: pd.DataFrame, by_trial: dict[str, Trace]) -> list[dict[str, Any]]:
    measured = alone(rows)
    lines, steps, timed = [], None, set(measured[device(measured) == head["device"]]["trial_id"])
    for run in records(rows):
        part = by_trial.get(run["trial_id"])
        ended = run["status"] == "diverged"
        if part is None and not ended:
            return []  # without its evaluations the curve would be an average over a hole
        line = learning_curve(part, run["constant"], ended)
        if run["trial_id"] not in timed:
            line = line[0], np.full(len(line[0]), math.nan), line[2]
        lines.append(line)
        if not ended:
            steps = set(line[0].tolist()) if steps is None else steps & set(line[0].tolist())
    head |= {"budget_label": budget_label(head["budget"]), "metric": rows["metric"].iloc[0]}
    flops = _flops([part for trial in rows["trial_id"] if (part := by_trial.get(trial)) is not None])
    over = design(rows["seed"].to_numpy(dtype=np.int64))
    return [
        head | _point(lines, step, over) | {"train_flops": flops.get(step, math.nan)} for step in sorted(steps or ())
    ]


def _flops(parts: list[Trace]) -> dict[int, float]:
    """Mean FLOPs spent by each step, of the runs that know them."""
    if not parts:
        return {}
    steps = np.concatenate([one.step[one.first] for one in parts])
    flops = np.concatenate([one.train_flops[one.first] for one in parts])
    by_step = pd.Series(flops).groupby(steps).mean()
    return {int(str(step)): float(value) for step, value in by_step.items()}


def _point(lines: list[Curve], step: int, over: Design) -> dict[str, Any]:
    at = [_at(line, step) for line in lines]
    estimate = mean_t([score for _, score in at], over=over)
    seconds = np.array([s for s, _ in at])
    mean = float(np.nanmean(seconds)) if np.isfinite(seconds).any() else math.nan
    ends = {"score": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}
    return {"step": step, "train_seconds": mean} | ends


def learning_curve(evals: Trace | None, constant: float, diverged: bool) -> Curve:
    """The score had training stopped at each evaluation: that of the checkpoint which `select` would have chosen.

    `score` is evaluated whenever `select` has improved, and at the last step whether it has or not: there the value is
    of a checkpoint that nothing would have chosen, and the one before it stays. `constant` stands in where the metric
    is undefined, before the first `score` value, and after the last evaluation of a run that diverged.
    """
    if evals is None:
        return np.array([0]), np.array([math.nan]), np.array([constant])
    steps, seconds = evals.step[evals.first], evals.train_seconds[evals.first]
    counts = evals.scored & ~np.isin(evals.step, _worse(evals.step[~evals.scored], evals.value[~evals.scored]))
    known = evals.value[counts]
    index = np.searchsorted(evals.step[counts], steps, side="right") - 1
    values = (
        np.where(index >= 0, known[np.maximum(index, 0)], constant) if known.size else np.full(len(steps), constant)
    )
    values = np.where(np.isfinite(values), values, constant)
    if diverged:
        return np.append(steps, steps[-1] + 1), np.append(seconds, math.nan), np.append(values, constant)
    return steps, seconds, values


def _worse(steps: np.ndarray, select: np.ndarray) -> np.ndarray:
    """The steps at which `select` [evaluations] was no better than before, by the rule of training: where the first
    is undefined, nothing is better."""
    if select.size and math.isnan(select[0]):
        return steps[1:]
    return steps[1:][~(select[1:] > np.fmax.accumulate(select)[:-1])]


def _at(line: Curve, step: int) -> tuple[float, float]:
    """Seconds and score at the last evaluation that is not after `step`."""
    steps, seconds, values = line
    index = max(0, int(np.searchsorted(steps, step, side="right")) - 1)
    return float(seconds[index]), float(values[index])
