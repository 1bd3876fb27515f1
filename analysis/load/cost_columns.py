"""What runs cost: which columns are costs, and the rows that may speak of them.

Counted costs are the same in every trial of a variant. Measured ones depend on what else ran: they come from runs that
ended `ok` with their device to themselves (`exclusive`), and times of packed or shared trials are never mixed in. Of
what depends on the kind of device, figures of two kinds are neither averaged nor compared.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL
from finebench.bench.study.parts.claim import COSTS as COSTS  # what is worth having less of

OF_A_TRIAL = ("delta_bytes", "train_seconds", "peak_memory_bytes", "train_flops", "energy_joules")
"""What one trial takes, beside its parameters."""

MEASURED = (
    "train_seconds", "examples_per_second", "peak_memory_bytes", "peak_allocated_bytes", "train_flops", "energy_joules",
)  # fmt: skip
"""Measured per trial; reported as median and range."""

COUNTED = ("trainable_params", "encoder_params", "head_params", "total_params", "delta_bytes")
"""The same in every trial of a variant."""

LABELS = {
    "trainable_params": "trained parameters",
    "encoder_params": "trained encoder parameters",
    "delta_bytes": "bytes stored per task",
    "train_seconds": "train time",
    "peak_memory_bytes": "peak memory",
    "peak_allocated_bytes": "peak memory of tensors",
    "train_flops": "training FLOPs",
    "energy_joules": "energy",
}


def with_costs(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that ended `ok`, with encoder_params and examples_per_second."""
    usable = runs[runs["status"].eq("ok")].copy()
    usable["encoder_params"] = usable["trainable_params"] - usable["head_params"]
    usable["examples_per_second"] = usable["examples"] / usable["train_seconds"].where(usable["train_seconds"] > 0)
    return usable


def alone(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of runs that had their device to themselves."""
    return rows[rows["exclusive"].eq(True)]


OCCUPIED = ("train_seconds", "eval_seconds", "startup_seconds")
"""What a trial occupies its machine for."""


def occupied(rows: pd.DataFrame) -> pd.DataFrame:
    """Seconds (OCCUPIED) for which each of `rows` occupied its machine, as if it had it to itself; NaN: not known. Of a
    trial on several ranks, the seconds of all of them: those of the clock times its ranks.

    A trial beside which others ran counts with what the exclusive trials of its cell took on its kind of device,
    training by the step; where there is none, with its own times, which may not have been measured.
    """
    made = rows[list(OCCUPIED)].astype("float64")
    if "ranks" in rows:  # null in rows that are older than the column
        made = made.mul(rows["ranks"].astype("float64").fillna(1.0), axis=0)
    beside = rows["exclusive"].eq(False)
    if not beside.any():
        return made
    for mine in groups(rows.assign(device=device(rows)), [*CELL, "device"]).values():
        timed = alone(mine)
        timed = timed[timed["train_seconds"].notna() & timed["steps"].gt(0)]
        shared = mine.index[beside[mine.index]]
        if timed.empty or shared.empty:
            continue
        per_step = float(made.loc[timed.index, "train_seconds"].sum()) / float(timed["steps"].sum())
        made.loc[shared, "train_seconds"] = mine.loc[shared, "steps"].astype("float64") * per_step
        for column in OCCUPIED[1:]:
            made.loc[shared, column] = float(made.loc[timed.index, column].mean())
    return made


def chosen_rows(runs: pd.DataFrame, scores: pd.DataFrame) -> dict[tuple[Any, ...], pd.DataFrame]:
    """By cell of `scores`: the `ok` runs of its chosen configuration's variant, at any lr, which changes no cost."""
    known = runs.drop_duplicates(["method", "configuration"])
    variant = dict(zip(zip(known["method"], known["configuration"], strict=True), known["variant"], strict=True))
    parts = groups(with_costs(runs), [*CELL, "variant"])
    found = {}
    for row in records(scores[scores["n"] > 0]):
        rows = parts.get((*cell(row), variant[row["method"], row["configuration"]]))
        if rows is not None:
            found[cell(row)] = rows
    return found


BOUND = ("train_seconds", "examples_per_second", "peak_memory_bytes", "peak_allocated_bytes", "energy_joules")
"""Measured costs that depend on the kind of device; FLOPs are those of the same work anywhere."""

UNKNOWN_DEVICE = "not recorded"


def device(rows: pd.DataFrame) -> "pd.Series[str]":
    """The kind of device of each row, by its name."""
    return rows["device"].fillna(UNKNOWN_DEVICE)


def of_one_kind(
    grouped: Sequence[Sequence[pd.DataFrame]], costs: Sequence[str]
) -> tuple[str, list[list[pd.DataFrame]]]:
    """The rows of each frame that may speak of all of some costs, on one kind of device for all, and that kind; empty
    where no cost depends on it, or nothing was measured.

    Frames of a group are compared with each other: the kind is the one on which most groups have runs in all of their
    frames; of equals the one with most runs, then the first by name. Frames without a run on it come back empty.
    """
    bound = [cost for cost in costs if cost in BOUND]
    if not bound:
        return "", [list(group) for group in grouped]
    known = [[alone(rows).dropna(subset=bound) for rows in group] for group in grouped]
    kinds = sorted({str(kind) for group in known for rows in group for kind in device(rows)})

    def on(kind: str) -> list[list[pd.DataFrame]]:
        return [[rows[device(rows) == kind] for rows in group] for group in known]

    def worth(kind: str) -> tuple[int, int]:
        there = on(kind)
        whole = [group for group in there if all(len(rows) for rows in group)]
        return len(whole), sum(len(rows) for group in there for rows in group)

    if not kinds:
        return "", known
    chosen = max(kinds, key=worth)  # the first of equals
    return chosen, on(chosen)


def kinds_of(rows: pd.DataFrame, cost: str) -> str:
    """The kinds of device on which a cost was measured, in words."""
    return " and ".join(sorted(set(device(alone(rows).dropna(subset=[cost]))))) or "no device to itself"


def per_seed(rows: pd.DataFrame, cost: str) -> "pd.Series[float]":
    """A cost by seed, the mean over learning rates; of a measured cost only runs alone on their device, which `rows`
    have of one kind (`of_one_kind`)."""
    rows = alone(rows) if cost in MEASURED else rows
    return rows.dropna(subset=[cost]).groupby("seed")[cost].mean().astype("float64")


def reference(scored: pd.DataFrame) -> str:
    """The method that trains most parameters among rows of one task and budget: what others are a ratio to."""
    order = scored.sort_values(["trainable_params", "method"], ascending=[False, True])
    return str(order["method"].iloc[0])


def cell(row: dict[str, Any]) -> tuple[Any, ...]:
    """(task, fraction, budget, method) of a row."""
    return tuple(row[key] for key in CELL)
