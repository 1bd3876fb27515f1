"""Tuning cost: what each method was given to be tuned with, and where that looks unfair or too narrow."""

import json
from typing import Any

import pandas as pd

from finebench.analysis.load.cost_columns import occupied
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.load.words import word
from finebench.analysis.scores.selected_configuration import CHOOSING
from finebench.bench.methods import TUNABLE


def ledger(runs: pd.DataFrame, price_per_hour: float | None = None) -> pd.DataFrame:
    """One row per method: cells, configurations per cell (fewest, most), trials, steps, seconds and cost.

    `seconds` is training, evaluation and start-up of all trials, failed and pruned ones too; `cost` prices them as if
    each trial had its machine to itself, in the currency of `price_per_hour`. `search_…`: the same for the trials that
    chose one cell's configuration, on average over cells. `shared` counts trials beside which others ran: they count
    with the time of trials alone on their device (`costs.occupied`). `untimed` counts those whose time is not known,
    which are in no sum.
    """
    spent = occupied(runs)
    parts = runs.groupby("method")
    return pd.DataFrame([_method(str(name), rows, spent.loc[rows.index], price_per_hour) for name, rows in parts])


def _method(name: str, rows: pd.DataFrame, spent: pd.DataFrame, price: float | None) -> dict[str, Any]:
    tried = _tried(rows).groupby(CELL)["configuration"].nunique()
    seconds = float(spent.sum().sum())
    choosing = _tried(rows)
    cells = max(1, int(choosing.groupby(CELL).ngroups))
    searching = float(spent.loc[choosing.index].sum().sum()) / cells
    made: dict[str, Any] = {
        "method": name,
        "cells": int(rows.groupby(CELL).ngroups),
        "configurations_fewest": int(tried.min()) if len(tried) else 0,
        "configurations_most": int(tried.max()) if len(tried) else 0,
        "trials": len(rows),
        "choosing_trials": int(rows["stage"].isin(CHOOSING).sum()),
        "confirm_trials": int(rows["stage"].eq("confirm").sum()),
        "steps": int(rows["steps"].fillna(0).sum()),
        "train_seconds": float(spent["train_seconds"].sum()),
        "seconds": seconds,
        "search_trials": len(choosing) / cells,
        "search_seconds": searching,
        "shared": int(rows["exclusive"].eq(False).sum()),
        "untimed": int(spent["train_seconds"].isna().sum()),
    }
    if price is None:
        return made
    return made | {"cost": seconds / 3600 * price, "search_cost": searching / 3600 * price}


def _tried(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["stage"].isin(CHOOSING)]


def warnings(runs: pd.DataFrame, scores: pd.DataFrame, expected: Expectation) -> list[str]:
    """Plain sentences: unequal numbers of configurations, chosen learning rates at the edge, seeds used twice."""
    return [*_unequal(runs, expected), *_training(runs), *_edges(runs, scores), *_same_seeds(scores)]


def _training(runs: pd.DataFrame) -> list[str]:
    """Training options that some methods' spaces hold and others' do not."""
    parsed = {text: set(json.loads(text)) & set(TUNABLE) for text in set(_tried(runs)["configuration"])}
    tuned = {
        str(name): sorted(set().union(*(parsed[text] for text in rows["configuration"])))
        for name, rows in _tried(runs).groupby("method")
    }
    if len({tuple(options) for options in tuned.values()}) < 2:
        return []
    said = "; ".join(f"{name}: {', '.join(options) or 'none'}" for name, options in tuned.items())
    return [f"Not all methods were tuned over the same training options ({said}); compare them with that in mind."]


def _unequal(runs: pd.DataFrame, expected: Expectation) -> list[str]:
    tried = {key: rows["configuration"].nunique() for key, rows in groups(_tried(runs), CELL).items()}
    planned = {key: expected.configurations(key) for key in expected.planned_cells()}
    number = {key: planned.get(key) or tried.get(key, 0) for key in tried.keys() | planned.keys()}
    made: dict[str, list[str]] = {}
    several = len({key[2] for key in number}) > 1
    for task, fraction, budget in sorted({key[:3] for key in number}):
        here = {key[3]: count for key, count in sorted(number.items()) if key[:3] == (task, fraction, budget)}
        if len(set(here.values())) > 1:
            said = ", ".join(f"{name} {count}" for name, count in here.items())
            place = f"{task} at {word(fraction, 'percent')}"
            made.setdefault(said, []).append(f"{place} ({budget_label(budget)})" if several else place)
    return [
        f"Methods were not given the same number of configurations: {said} (for {_some(places)}). A method "
        "with more tries has more chances to look good."
        for said, places in made.items()
    ]


def _edges(runs: pd.DataFrame, scores: pd.DataFrame) -> list[str]:
    lrs = {key: sorted(set(rows["lr"].dropna())) for key, rows in groups(_tried(runs), CELL).items()}
    found: dict[tuple[str, str, float], list[str]] = {}
    # where every run has collapsed all learning rates tie, and the one chosen means nothing
    for row in records(scores[scores["n"] > scores["collapsed"]]):
        tried = lrs.get(tuple(row[key] for key in CELL), [])
        if len(tried) > 1 and row["lr"] in (tried[0], tried[-1]):
            end = "lowest" if row["lr"] == tried[0] else "highest"
            found.setdefault((row["method"], end, row["lr"]), []).append(
                f"{row['task']} at {word(row['fraction'], 'percent')}"
            )
    return [
        f"{method}: the chosen learning rate {lr:g} is the {end} that was tried, for {_some(places)}; the best may lie "
        "beyond it."
        for (method, end, lr), places in sorted(found.items())
    ]


def _same_seeds(scores: pd.DataFrame) -> list[str]:
    same = scores[(scores["n"] > 0) & (scores["source"] == "same seeds") & (scores["configurations"] > 1)]
    if same.empty:
        return []
    return [
        f"In {len(same)} of {int((scores['n'] > 0).sum())} cells the same seeds chose the configuration and "
        "scored it. The "
        "choice looked at the select split only, and the intervals repeat it on resampled seeds; "
        "confirm_seeds in the study's search scores on fresh seeds."
    ]


def _some(places: list[str], most: int = 6) -> str:
    shown = ", ".join(places[:most])
    return shown if len(places) <= most else f"{shown} and {len(places) - most} more"
