"""The configuration of each cell, chosen on `select` alone.

The rule is the harness's own (its confirm stage must confirm what is reported): the highest mean `select_score` among
the configurations with the most finished seeds; of equal ones the alphabetically first. Diverged runs count with the
select score that their row carries; pruned and failed rows never count.
"""

import math

import numpy as np
import pandas as pd

from analysis.runs import CELL
from analysis.statistics.reselect import Choice
from analysis.statistics.sample import Sample

CHOOSING = ("grid", "search")
"""Stages that a choice may rest on; `confirm` is kept out of it."""


def finished(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows that a choice may look at."""
    usable = runs["stage"].isin(CHOOSING) & runs["is_result"] & runs["select_score"].notna()
    return runs[usable]


def candidates(runs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row per group × configuration: mean select score (`select_mean`) and seeds behind it (`select_n`)."""
    grouped = finished(runs).groupby([*by, "configuration"], sort=True, dropna=False)["select_score"]
    # fsum: the mean of the same scores must not depend on their order, or equal configurations would not tie
    means = grouped.agg(select_mean=lambda values: math.fsum(values) / len(values), select_n="count")
    return means.reset_index()


def choose(runs: pd.DataFrame, by: list[str] | None = None) -> pd.DataFrame:
    """The chosen configuration of each group (default: each cell).

    Columns: the group's, configuration, select_mean, select_n, configurations (how many had a finished seed) and
    runners (how many had as many finished seeds as any, among which the choice was made).
    """
    keys = CELL if by is None else by
    found = candidates(runs, keys)
    if found.empty:
        return found.assign(configurations=[], runners=[])
    found["configurations"] = found.groupby(keys)["configuration"].transform("size")
    fullest = found[found["select_n"] == found.groupby(keys)["select_n"].transform("max")].copy()
    fullest["runners"] = fullest.groupby(keys)["configuration"].transform("size")
    order = fullest.sort_values([*keys, "select_mean", "configuration"], ascending=[*[True] * len(keys), False, True])
    return order.drop_duplicates(keys).reset_index(drop=True)


def rivals(runs: pd.DataFrame, chosen: Sample) -> Choice | None:
    """The configurations of one cell among which `chosen` was chosen, on its seeds; None where it had no rival.

    Rivals are the configurations with a finished run on every seed of the chosen one.
    """
    mine = finished(runs)
    mine = mine[mine["seed"].isin(chosen.seeds)]
    select, entered = (
        mine.pivot_table(index="configuration", columns="seed", values=column).reindex(columns=chosen.seeds)
        for column in ("select_score", "entered")
    )
    whole = select.notna().all(axis=1) & entered.notna().all(axis=1)
    if int(whole.sum()) < 2 or chosen.configuration not in whole.index[whole]:
        return None
    select, entered = select[whole].sort_index(), entered[whole].sort_index()
    at = int(np.flatnonzero(select.index == chosen.configuration)[0])
    return Choice(select.to_numpy(dtype=np.float64), entered.to_numpy(dtype=np.float64), at)
