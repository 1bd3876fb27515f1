"""A sample per cell: the reported runs of its chosen configuration, with their predictions, read when first needed."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from finebench.analysis.load.expected import Expectation, Key, Missing
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.read import Results
from finebench.analysis.load.runs import CELL
from finebench.analysis.scores.scores import reporting
from finebench.analysis.scores.selected_configuration import choose, rivals
from finebench.analysis.statistics.resample import measured
from finebench.analysis.statistics.sample import Absent, Sample
from finebench.bench.metrics import find

__all__ = ["Sample", "Samples", "bare"]

AGREES = 1e-6
"""Predictions belong to a run when its metric, recomputed from them, is its score this nearly."""


class Run(NamedTuple):
    """What a run said: examples, labels and predictions [N], ordered by example; `probabilities` [N, C] of the classes
    where its metric needs them and they are there, else None."""

    examples: np.ndarray
    labels: np.ndarray
    predictions: np.ndarray
    probabilities: np.ndarray | None


Predicted = dict[str, Run]
"""By trial_id."""


class Samples(Mapping[Key, Sample]):
    """By (task, fraction, budget, method): one sample for each cell that has a reported run.

    Predictions of all reported runs are read in one pass, the first time that a sample is asked for, and held as
    float32 where that loses nothing; runs that were scored on the same examples share them.
    """

    def __init__(self, results: Results, runs: pd.DataFrame, expected: Expectation | None = None) -> None:
        self._results = results
        self._expected = expected or Expectation(results.plan, runs)
        self._rows: dict[Key, pd.DataFrame] = {}
        self._absent: dict[Key, tuple[Absent, ...]] = {}
        parts = groups(runs, [*CELL, "configuration"])
        for row in records(choose(runs)):
            key = (row["task"], row["fraction"], row["budget"], row["method"])
            reported, stage = reporting(parts[(*key, row["configuration"])])
            rows = reported[reported["is_result"]]
            if len(rows):
                self._rows[key] = rows.sort_values("seed")
                self._absent[key] = absent(reported, self._expected.missing(key, stage, set(rows["seed"].astype(int))))
        self._cells: dict[Key, pd.DataFrame] = groups(runs, CELL)
        self._made: dict[Key, Sample] = {}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, key: Key) -> Sample:
        if key not in self._made:
            rows = self._rows[key]
            mine = {trial: self._predicted.pop(trial) for trial in rows["trial_id"] if trial in self._predicted}
            made = with_predictions(bare(rows, self._absent[key]), rows, mine)
            fresh = made.stage == "confirm"
            self._made[key] = made if fresh else replace(made, choice=rivals(self._cells[key], made))
        return self._made[key]

    def rows(self, key: Key) -> pd.DataFrame:
        """The rows of `runs` that a sample was made from, ordered by seed."""
        return self._rows[key]

    @cached_property
    def _predicted(self) -> Predicted:
        ids = [trial for rows in self._rows.values() for trial in rows["trial_id"]]
        found: Predicted = {}
        shared: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # by number of examples: those of the run before
        needing = {trial for rows in self._rows.values() if _needs(rows) for trial in rows["trial_id"]}
        columns = ["trial_id", "example", "label", "prediction", *(["probability"] if needing else [])]
        for part in self._results.predictions(columns, ids):
            for trial, rows in part.groupby("trial_id", sort=False):
                ordered = rows if rows["example"].is_monotonic_increasing else rows.sort_values("example")
                values = (ordered[column].to_numpy() for column in ("example", "label", "prediction"))
                examples, labels, predictions = values
                known = shared.get(len(labels))
                if known is None or not (np.array_equal(examples, known[0]) and np.array_equal(labels, known[1])):
                    known = shared[len(labels)] = examples.copy(), labels.copy()
                probabilities = _stacked(ordered["probability"]) if trial in needing else None
                found[str(trial)] = Run(*known, _small(predictions), probabilities)
        return found


def _needs(rows: pd.DataFrame) -> bool:
    """Whether the rows' metric is computed of probabilities."""
    metric = find(str(rows["metric"].iloc[0]))
    return metric is not None and metric.needs == "probabilities"


def _stacked(lists: pd.Series) -> np.ndarray | None:
    """Probabilities [N, C] from a list a row; None where a row has no list, or not one of every class."""
    sizes = {0 if one is None else len(one) for one in lists}
    return np.stack(lists.to_list()) if len(sizes) == 1 and min(sizes) > 1 else None


def _small(values: np.ndarray) -> np.ndarray:
    """float32 where that loses nothing."""
    short = values.astype(np.float32)
    return short if np.array_equal(short, values, equal_nan=True) else values


def absent(reported: pd.DataFrame, missing: Missing) -> tuple[Absent, ...]:
    """The planned runs of one configuration that gave no score, with how they ended."""
    ended = {int(row["seed"]): str(row["status"]) for row in records(reported[~reported["is_result"]])}
    seeds = sorted({*missing.named, *ended})
    named = [Absent(seed, ended.get(seed, "not run")) for seed in seeds]
    unnamed = max(0, missing.unnamed - (len(seeds) - len(missing.named)))
    return (*named, *[Absent(None, "not run")] * unnamed)


def bare(rows: pd.DataFrame, lacking: tuple[Absent, ...] = ()) -> Sample:
    """A sample without predictions, from finished rows of one configuration ordered by seed."""
    first = rows.iloc[0]
    return Sample(
        name=str(first["method"]),
        metric=str(first["metric"]),
        seeds=rows["seed"].to_numpy(dtype=np.int64),
        entered=rows["entered"].to_numpy(dtype=np.float64),
        fixed=(rows["constant_output"] | rows["status"].eq("diverged")).to_numpy(dtype=bool),
        configuration=str(first["configuration"]),
        lr=float(first["lr"]),
        stage=str(first["stage"]),
        why="no predictions",
        collapsed=rows["collapsed"].to_numpy(dtype=bool),
        constant=float(rows["constant"].mean()),
        absent=lacking,
    )


def _enough(known: np.ndarray, sample: Sample) -> bool:
    """Whether at least two runs (of one, that one) can be followed through resamples: by predictions, or as fixed."""
    return int((known | sample.fixed).sum()) >= min(2, known.size)


def with_predictions(sample: Sample, rows: pd.DataFrame, predicted: Predicted) -> Sample:
    """The sample with its runs' predictions, or with the reason why they cannot be used."""
    metric = find(sample.metric)
    if metric is None or metric.weighted is None:
        return replace(sample, why=f"{sample.metric} cannot be recomputed on resampled examples")
    found = [predicted.get(trial) for trial in rows["trial_id"]]
    if metric.needs == "probabilities":
        found = [None if one is None or one.probabilities is None else one for one in found]
    known = np.array([one is not None for one in found]) & ~sample.fixed
    if not known.any():
        why = "every run collapsed or diverged" if sample.fixed.all() else "no predictions"
        return replace(sample, why=why)
    if not _enough(known, sample):
        return replace(sample, why="some runs have no predictions")
    free = [one for one, use in zip(found, known, strict=True) if use and one is not None]
    examples, labels = free[0].examples, free[0].labels
    if any(not np.array_equal(examples, one.examples) or not np.array_equal(labels, one.labels) for one in free):
        return replace(sample, why="runs were not scored on the same examples")
    predictions = _filled(known, [one.predictions for one in free])
    probabilities = None
    if metric.needs == "probabilities":
        probabilities = _filled(known, [one.probabilities for one in free if one.probabilities is not None])
    said = predictions if probabilities is None else probabilities
    again = measured(metric.weighted, labels, said[known])
    known[known] = np.isclose(again, sample.entered[known], rtol=0, atol=AGREES)
    unknown = ~known & ~sample.fixed
    if not (known.any() and _enough(known, sample)):
        return replace(sample, why="predictions do not give the score that was stored")
    for values in (predictions, said):
        values[unknown] = np.nan
    lack = int(unknown.sum())
    why = f"{lack} of {len(found)} runs without predictions that give their score" if lack else ""
    return replace(
        sample, examples=examples, labels=labels, predictions=predictions, probabilities=probabilities,
        unknown=unknown, why=why, weighted=metric.weighted, kind=metric.kind,
    )  # fmt: skip


def _filled(known: np.ndarray, values: list[np.ndarray]) -> np.ndarray:
    """The `values` of the known runs [S, ...], NaN for the others."""
    made = np.full((known.size, *values[0].shape), np.nan, dtype=np.result_type(*values))
    made[known] = values
    return made
