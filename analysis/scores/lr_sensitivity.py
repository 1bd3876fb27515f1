"""Learning-rate sensitivity: what each learning rate scored, at the variant that `select` prefers for it."""

from typing import Any

import pandas as pd

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.scores import summarise
from finebench.analysis.scores.selected_configuration import CHOOSING, choose


def sensitivity(runs: pd.DataFrame, expected: Expectation) -> pd.DataFrame:
    """One row per cell × lr, for cells in which more than one lr was tried; columns as `scores`, and `chosen`."""
    tried = runs[runs["stage"].isin(CHOOSING) & runs["lr"].notna()]
    best = choose(tried, [*CELL, "lr"])
    if best.empty:
        return pd.DataFrame()
    best = best[best.groupby(CELL)["lr"].transform("size") > 1]
    winners = {tuple(row[key] for key in (*CELL, "configuration")) for row in records(choose(runs))}
    parts = groups(tried, [*CELL, "configuration"])
    return pd.DataFrame([_row(row, parts, winners, expected) for row in records(best)])


def _row(
    row: dict[str, Any], parts: dict[Any, pd.DataFrame], winners: set[Any], expected: Expectation
) -> dict[str, Any]:
    cell = (row["task"], row["fraction"], row["budget"], row["method"])
    key = (*cell, row["configuration"])
    rows = parts[key]
    rows = rows[rows["status"] != "pruned"]
    stage = str(rows["stage"].iloc[0])
    missing = expected.missing(cell, stage, set(rows.loc[rows["is_result"], "seed"].astype(int)))
    made = {column: row[column] for column in (*CELL, "configuration", "select_mean")}
    made |= {"budget_label": budget_label(cell[2])}
    return made | summarise(rows, missing) | {"chosen": key in winners}
