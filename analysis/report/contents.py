"""What a report holds: every frame, computed once, in the study's own order of tasks and methods."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from finebench.analysis.claims import judge
from finebench.analysis.costs.crossovers import crossovers
from finebench.analysis.costs.data_efficiency import reached
from finebench.analysis.costs.efficiency import efficiency
from finebench.analysis.costs.pareto import fronts
from finebench.analysis.costs.ratios import ratios
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.frames import finite, largest, records
from finebench.analysis.load.ranges import claim_within_range, within_range
from finebench.analysis.load.read import Results
from finebench.analysis.load.runs import runs
from finebench.analysis.scores.coverage import cells
from finebench.analysis.scores.failures import failures
from finebench.analysis.scores.learning_curves import curves
from finebench.analysis.scores.lr_sensitivity import sensitivity
from finebench.analysis.scores.per_seed import per_seed
from finebench.analysis.scores.provenance import origins
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.analysis.scores.variants import variants
from finebench.analysis.uncertainty.tuning_cost import ledger, warnings
from finebench.analysis.uncertainty.variance import variance


@dataclass(frozen=True)
class Contents:
    """The frames of a report by name, the order of its methods, and the ledger's warnings.

    `examples`: the size of each task's score split, as predictions show it; 0 where none do.
    """

    results: Results
    frames: dict[str, pd.DataFrame]
    methods: tuple[str, ...]
    warnings: tuple[str, ...]
    planned: bool
    price_per_hour: float | None
    examples: dict[str, int]
    verdicts: tuple[dict[str, Any], ...] = ()
    """The study's claims with their verdicts, as in claims.json."""


def analyse(results: Results, price_per_hour: float | None = None) -> Contents:
    """Compute every frame of the report."""
    table = runs(results)
    expected = Expectation(results.plan, table)
    samples, evals = Samples(results, table, expected), finite(results.evals)
    scored = scores(table, expected, samples)
    frames = {
        "scores": scored,
        "cells": cells(table, expected),
        "variants": variants(table, expected),
        "sensitivity": sensitivity(table, expected),
        "curves": curves(table, evals, scored),
        "efficiency": efficiency(table, scored),
        "ratios": ratios(table, scored),
        "fronts": fronts(table, scored, samples),
        "reach": reached(scored, samples),
        "crossovers": crossovers(table, evals, scored, samples),
        "ledger": ledger(table, price_per_hour),
        "failures": failures(table),
        "origins": origins(table, scored, samples),
        "per_seed": per_seed(samples),
        "runs": table,
    }
    methods = _order(results.study.get("methods"), scored["method"])
    frames |= variance(results, table, scored, frames["sensitivity"], samples, methods)
    tasks = _order(results.study.get("tasks"), scored["task"])
    ordered = {name: within_range(name, _sort(frame, tasks, methods)) for name, frame in frames.items()}
    metrics = {str(row["task"]): str(row["metric"]) for row in records(table.drop_duplicates("task"))}
    judged = [claim_within_range(one, metrics) for one in judge.verdicts(results, table, scored, samples, expected)]
    ordered |= {"claims": judge.frame(judged), "claims_by_task": judge.by_task(judged)}  # in the study's order
    unread = [
        f"Left out, because it is damaged: {line}. `finebench run` runs its trials again." for line in results.damaged
    ]
    left = [f"Trials {line}." for line in results.left_out]
    said = (*unread, *left, *warnings(table, scored, expected))
    return Contents(results, ordered, methods, said, expected.known, price_per_hour, _examples(samples), tuple(judged))


def _examples(samples: Samples) -> dict[str, int]:
    found: dict[str, int] = {}
    for key in samples:
        found[key[0]] = max(found.get(key[0], 0), samples[key].n_examples)
    return found


def answer(contents: Contents) -> pd.DataFrame:
    """The rows of `scores` at the largest fraction of each task and budget that has a score (or is planned)."""
    return largest(contents.frames["scores"])


def _order(given: Any, found: "pd.Series[str]") -> tuple[str, ...]:
    """Names as the study lists them, then any that only the rows have."""
    listed = [entry.get("name") if isinstance(entry, dict) else entry for entry in given or ()]
    present = set(found)
    first = [str(name) for name in listed if name in present]
    return (*first, *sorted(present - set(first)))


def _sort(frame: pd.DataFrame, tasks: tuple[str, ...], methods: tuple[str, ...]) -> pd.DataFrame:
    if frame.empty:
        return frame
    ranks = {"task": {name: i for i, name in enumerate(tasks)}, "method": {name: i for i, name in enumerate(methods)}}
    wanted = ("task", "budget", "fraction", "method", "variant", "lr", "step", "stage", "seed")
    keys = [key for key in wanted if key in frame]

    def rank(values: pd.Series) -> pd.Series:
        return values.map(ranks[str(values.name)]) if values.name in ranks else values

    return frame.sort_values(keys, key=rank, ignore_index=True, kind="stable")
