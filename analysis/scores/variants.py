"""Variants of a method: a row per configuration of the hyperparameters that the study varied, each at its best lr."""

from typing import Any

import pandas as pd

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.scores import summarise
from finebench.analysis.scores.selected_configuration import CHOOSING, choose

MAX_VARIANTS = 24
"""Above this a cell's configurations are draws from a distribution, not variants that someone named."""


def variants(runs: pd.DataFrame, expected: Expectation) -> pd.DataFrame:
    """One row per cell × variant: columns as `scores`, and `variant`.

    All rows come from the runs that chose (confirm runs exist for the winner alone, and variants are compared on the
    same seeds). Cells with one variant, or more than `MAX_VARIANTS`, are left out.
    """
    tried = runs[runs["stage"].isin(CHOOSING)]
    by = [*CELL, "variant"]
    chosen = choose(tried, by)
    if chosen.empty:
        return pd.DataFrame()
    number = chosen.groupby(CELL)["variant"].transform("size")
    chosen = chosen[(number > 1) & (number <= MAX_VARIANTS)]
    parts = groups(tried, [*CELL, "configuration"])
    return pd.DataFrame([_variant(row, parts, expected) for row in records(chosen)])


def _variant(row: dict[str, Any], parts: dict[Any, pd.DataFrame], expected: Expectation) -> dict[str, Any]:
    key = (row["task"], row["fraction"], row["budget"], row["method"])
    rows = parts[(*key, row["configuration"])]
    rows = rows[rows["status"] != "pruned"]
    stage = str(rows["stage"].iloc[0])
    missing = expected.missing(key, stage, set(rows.loc[rows["is_result"], "seed"].astype(int)))
    made = {column: row[column] for column in (*CELL, "variant", "configuration", "select_mean", "configurations")}
    made |= summarise(rows, missing) | {"budget_label": budget_label(key[2])}
    made["why"] = "" if made["complete"] else f"incomplete: {made['n']} of {made['planned_seeds']} seeds"
    return made
