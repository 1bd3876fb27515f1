"""How much the learning rate matters: how wide the range is that does about as well as `select`'s best."""

import math
from typing import Any

import pandas as pd

from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL

Row = dict[str, Any]


def plateau(sensitivity: pd.DataFrame, tuning: pd.DataFrame) -> pd.DataFrame:
    """One row per cell with at least two learning rates, of those with as many finished seeds as any.

    The best learning rate is that of the highest mean `select` score, as in every choice (of equal ones that of the
    alphabetically first configuration): the best by the held-out score would be lucky, and its neighbours fall short.

    Columns: the cell's, budget_label, metric, best_lr, best (its score), se (standard error over seeds at best_lr),
    lr_low, lr_high (neighbouring learning rates around best_lr that score no more than one se below it), factor
    (lr_high / lr_low), decades, tried, open (the plateau reaches the end of what was tried: it may be wider), drop
    (best less the worst), regret (best tuned less the default, from `tuning`), why. A grid shows a plateau no finer
    than its own steps.
    """
    if sensitivity.empty:
        return pd.DataFrame()
    gains = {tuple(row[c] for c in CELL): row["gain"] for row in records(tuning)} if not tuning.empty else {}
    return pd.DataFrame([_row(rows, gains) for rows in groups(sensitivity, CELL).values()])


def _row(rows: pd.DataFrame, gains: dict[Any, float]) -> Row:
    scored = rows[rows["n"] > 0]
    whole = scored[scored["n"] == scored["n"].max()]  # means of other seeds do not compare
    ordered = records(whole.sort_values("lr"))
    holes = len(rows) - len(whole)
    left = f"{holes} of {len(rows)} learning rates left out, whose seeds are not all there" if holes else ""
    best = min(range(len(ordered)), key=lambda i: (-ordered[i]["select_mean"], ordered[i]["configuration"]))
    top = ordered[best]
    made: Row = {column: top[column] for column in (*CELL, "budget_label", "metric")}
    made |= {"best_lr": top["lr"], "best": top["score"], "tried": len(ordered)}
    made["drop"] = top["score"] - min(row["score"] for row in ordered)
    made["regret"] = gains.get(tuple(top[c] for c in CELL), math.nan)
    if not top["n"] > 1:
        return made | {"why": "; ".join(filter(None, ["one seed: no standard error", left]))}
    se = top["sd"] / math.sqrt(top["n"])
    low, high = _reach(ordered, best, se, -1), _reach(ordered, best, se, 1)
    first, last = ordered[low]["lr"], ordered[high]["lr"]
    made |= {"se": se, "lr_low": first, "lr_high": last, "factor": last / first, "decades": math.log10(last / first)}
    return made | {"open": low == 0 or high == len(ordered) - 1, "why": left}


def _reach(ordered: list[Row], best: int, se: float, step: int) -> int:
    """The last neighbour in a direction that scores no more than one standard error below the best."""
    at = best
    while 0 <= at + step < len(ordered) and ordered[at + step]["score"] >= ordered[best]["score"] - se:
        at += step
    return at
