"""What a method costs in parameters, bytes, time, memory, FLOPs and energy, by trials alone on their device.

Times of packed or shared trials are never mixed in. The rows are those of the chosen configuration's variant at any
learning rate, since the learning rate changes no cost; they must have ended `ok` (a diverged or pruned trial stopped
early). `shared` counts the rows that were left out because something else ran beside them.
"""

import math
from typing import Any

import pandas as pd

from finebench.analysis.costs.ratios import RATIOS, paired
from finebench.analysis.load.cost_columns import COUNTED, MEASURED, alone, cell, chosen_rows, device, reference
from finebench.analysis.load.frames import largest, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.statistics.location import median
from finebench.analysis.statistics.spread import extremes


def efficiency(runs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per cell × device at the largest fraction of each task and budget.

    Columns: the cell's, setting, device, n (exclusive runs), shared (runs left out), the counted columns, each measured
    one with _low and _high (its range), and x_<column>, x_<column>_low, _high: its ratio, paired by seed, to
    `reference`, the method that trains most parameters in that task, budget and device.
    """
    scored = largest(scores[scores["n"] > 0])
    rows_of = chosen_rows(runs, scored)
    made = [one for row in records(scored) if cell(row) in rows_of for one in _per_device(row, rows_of[cell(row)])]
    return _ratios(pd.DataFrame(made), rows_of) if made else pd.DataFrame()


def _per_device(row: dict[str, Any], rows: pd.DataFrame) -> list[dict[str, Any]]:
    own = alone(rows)
    head = {key: row[key] for key in (*CELL, "setting", "score")} | {"budget_label": budget_label(row["budget"])}
    head |= {key: _one(rows[key]) for key in COUNTED} | {"shared": len(rows) - len(own)}
    if own.empty:
        return [head | {"device": None, "n": 0, "why": "no run had its device to itself"}]
    return [
        head | {"device": str(kind), "n": len(part), "why": ""} | _measured(part)
        for kind, part in own.groupby(device(own))
    ]


def _one(values: pd.Series) -> float:
    known = values.dropna()
    return float(known.iloc[0]) if len(known) else math.nan


def _measured(rows: pd.DataFrame) -> dict[str, float]:
    made: dict[str, float] = {}
    for column in MEASURED:
        known = rows[column].dropna().to_numpy(dtype="float64")
        ends = extremes(known)
        made |= {column: median(known), f"{column}_low": ends.low, f"{column}_high": ends.high}
    return made


def _ratios(frame: pd.DataFrame, rows_of: dict[tuple[Any, ...], pd.DataFrame]) -> pd.DataFrame:
    """Add the ratios; which method is the reference follows from the counts, so that no method need be named."""
    for column in (*MEASURED, *(f"{m}_{end}" for m in MEASURED for end in ("low", "high"))):
        if column not in frame:
            frame[column] = math.nan
    made = frame.assign(reference="")
    for _, rows in frame.groupby(["task", "budget", "device"], dropna=False):
        made.loc[rows.index, "reference"] = reference(rows)
    wide = [_ratios_of(row, rows_of) for row in records(made)]
    return pd.concat([made, pd.DataFrame(wide, index=made.index)], axis=1)


def _ratios_of(row: dict[str, Any], rows_of: dict[tuple[Any, ...], pd.DataFrame]) -> dict[str, float]:
    own, other = (rows_of[*cell(row)[:3], name] for name in (row["method"], row["reference"]))
    if row["device"] is not None and not pd.isna(row["device"]):
        own, other = (rows[~rows["exclusive"].eq(True) | (device(rows) == row["device"])] for rows in (own, other))
    made: dict[str, float] = {}
    for column in RATIOS:
        found, _ = paired([(own, other)], column)
        made |= {f"x_{column}": found.value, f"x_{column}_low": found.low, f"x_{column}_high": found.high}
    return made
