"""What a method costs in parameters, bytes, time, memory, FLOPs and energy, by trials alone on their device.

Times of packed or shared trials are never mixed in. The rows are those of the chosen configuration's variant at any
learning rate, since the learning rate changes no cost; they must have ended `ok` (a diverged or pruned trial stopped
early).
"""

import math
from typing import Any

import pandas as pd

from analysis.frames import groups, records
from analysis.runs import CELL, budget_label
from analysis.statistics.location import median
from analysis.statistics.spread import extremes

MEASURED = ["train_seconds", "examples_per_second", "peak_memory_bytes", "train_flops", "energy_joules"]
"""Measured per trial; reported as median and range."""

COUNTED = ["trainable_params", "encoder_params", "head_params", "total_params", "delta_bytes"]
"""The same in every trial of a variant."""

RATIOS = ["encoder_params", "delta_bytes", "train_seconds", "peak_memory_bytes", "train_flops", "energy_joules"]


def efficiency(runs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per cell × device at the largest fraction of each task and budget.

    Columns: the cell's, setting, device, n (exclusive runs), the counted columns, each measured one with _low and
    _high, and x_<column>: its ratio to `reference`, the method that trains most parameters in that task, budget and
    device.
    """
    usable = runs[runs["status"].eq("ok")].copy()
    usable["encoder_params"] = usable["trainable_params"] - usable["head_params"]
    usable["examples_per_second"] = usable["examples"] / usable["train_seconds"].where(usable["train_seconds"] > 0)
    parts = groups(usable, [*CELL, "variant"])
    made: list[dict[str, Any]] = []
    for row in records(_largest(scores)):
        cell = tuple(row[key] for key in CELL)
        own = runs[(runs["configuration"] == row["configuration"]) & (runs["method"] == row["method"])]["variant"]
        rows = parts.get((*cell, own.iloc[0]))
        if rows is not None:
            made += _per_device(row, rows)
    return _ratios(pd.DataFrame(made)) if made else pd.DataFrame()


def _largest(scores: pd.DataFrame) -> pd.DataFrame:
    scored = scores[scores["n"] > 0]
    return scored[scored["fraction"] == scored.groupby(["task", "budget"])["fraction"].transform("max")]


def _per_device(row: dict[str, Any], rows: pd.DataFrame) -> list[dict[str, Any]]:
    head = {key: row[key] for key in (*CELL, "setting", "score")} | {"budget_label": budget_label(row["budget"])}
    head |= {key: _one(rows[key]) for key in COUNTED}
    alone = rows[rows["exclusive"].eq(True)]
    if alone.empty:
        return [head | {"device": None, "n": 0, "why": "no run had its device to itself"}]
    devices = alone["device"].fillna("not recorded")
    return [
        head | {"device": str(device), "n": len(part), "why": ""} | _measured(part)
        for device, part in alone.groupby(devices)
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


def _ratios(frame: pd.DataFrame) -> pd.DataFrame:
    """Add the ratios; which method is the reference follows from the counts, so that no method need be named."""
    for column in (*MEASURED, *(f"{m}_{end}" for m in MEASURED for end in ("low", "high"))):
        if column not in frame:
            frame[column] = math.nan
    frame["reference"] = ""
    for column in RATIOS:
        frame[f"x_{column}"] = math.nan
    for _, rows in frame.groupby(["task", "budget", "device"], dropna=False):
        most = rows.sort_values(["trainable_params", "method"], ascending=[False, True]).iloc[0]
        frame.loc[rows.index, "reference"] = most["method"]
        for column in RATIOS:
            if most[column] > 0:
                frame.loc[rows.index, f"x_{column}"] = rows[column].astype("float64") / float(most[column])
    return frame
