"""Coverage, cell by cell: what was planned, what is done, what failed, what is still to come."""

from typing import Any

import pandas as pd

from finebench.analysis.load.expected import Expectation, Key, Planned
from finebench.analysis.load.frames import groups
from finebench.analysis.load.runs import CELL, OUTSIDE, budget_label
from finebench.analysis.scores.asked import asked


def cells(runs: pd.DataFrame, expected: Expectation) -> pd.DataFrame:
    """One row per cell, planned or run.

    Columns: the cell's, budget_label, planned, done, failed, collapsed, diverged, pruned, pending, unplanned, state,
    outside. `unplanned` counts trials of cells, configurations or seeds that the plan does not have (any more), the
    others those that it has; `outside` are those of them that the study does not contain, which no other table counts.
    `planned` and `pending` are missing without a plan.
    """
    mine = asked(runs, expected)
    parts, others = groups(runs[mine], CELL), groups(runs[~mine], CELL)
    outside: dict[Key, int] = {(*key,): count for *key, count in runs.attrs.get(OUTSIDE, [])}
    keys = sorted(expected.planned_cells() | set(parts) | set(others) | set(outside))
    made = [
        _cell(key, parts.get(key), len(others.get(key, ())), expected) | {"outside": outside.get(key, 0)}
        for key in keys
    ]
    for row in made:
        row["unplanned"] += row["outside"]
    return pd.DataFrame(made)


def _cell(key: Key, rows: pd.DataFrame | None, unplanned: int, expected: Expectation) -> dict[str, Any]:
    planned = _planned(key, rows, expected)
    counts = dict.fromkeys(("done", "failed", "collapsed", "diverged", "pruned"), 0)
    if rows is not None:
        counts["done"] = int(rows["is_result"].sum())
        counts["failed"] = int(rows["is_failed"].sum())
        counts["collapsed"] = int(rows["collapsed"].sum())
        counts["diverged"] = int(rows["status"].eq("diverged").sum())
        counts["pruned"] = int(rows["status"].eq("pruned").sum())
    pending = None if planned is None else max(0, planned - counts["done"] - counts["failed"] - counts["pruned"])
    head = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
    left = {"pending": pending, "unplanned": unplanned}
    return head | {"planned": planned} | counts | left | {"state": _state(counts, pending)}


def _planned(key: Key, rows: pd.DataFrame | None, expected: Expectation) -> int | None:
    """Planned trials of the cell over its stages; None without a plan, or for a cell that the plan does not have."""
    stages = [expected.trials(key, stage) for stage in ("grid", "search")]
    found = [number for number in stages if number is not None]
    confirm = expected.cells.get((key, "confirm"))
    if confirm is not None:
        found.append(_confirm(confirm, rows))
    return sum(found) if found else None


def _confirm(planned: Planned, rows: pd.DataFrame | None) -> int:
    """The plan may count two configurations, best and default; where they turn out to be one, half the trials do."""
    if rows is None:
        return planned.trials
    confirm = rows[rows["stage"] == "confirm"]
    known = confirm["configuration"].nunique() == 1 and (planned.configurations or 2) * len(confirm) >= planned.trials
    return len(confirm) if known else planned.trials


def _state(counts: dict[str, int], pending: int | None) -> str:
    """The cell in a word, worst first."""
    if counts["failed"]:
        return "failed"
    if pending:
        return "pending"
    if counts["done"] and counts["collapsed"] == counts["done"]:
        return "collapsed"
    return "done" if counts["done"] else "empty"
