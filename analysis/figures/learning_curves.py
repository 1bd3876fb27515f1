"""The score inside longer runs, had training stopped at each evaluation."""

import altair as alt

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows, Style


def by_step(rows: Rows, look: Style) -> Figure:
    """Against optimiser steps."""
    return _curve(rows, look, alt.X("step:Q", title="optimiser step"), [base.tip("step", "step", ",")])


def by_seconds(rows: Rows, look: Style) -> Figure:
    """Against seconds of training, the mean over seeds at each step."""
    timed = [row | {"cost": row["train_seconds"]} for row in rows if row["train_seconds"]]
    x = alt.X("cost:Q", title="seconds of training", scale=alt.Scale(zero=False, nice=False))
    return _curve(timed, look, x, [base.tip("cost", "seconds", ",.3~r")], " by seconds")


def by_flops(rows: Rows, look: Style) -> Figure:
    """Against FLOPs of training."""
    counted = [row | {"cost": row["train_flops"]} for row in rows if row["train_flops"]]
    x = alt.X("cost:Q", title="FLOPs of training", axis=alt.Axis(format=".1~e", labelOverlap=True))
    return _curve(counted, look, x, [base.tip("cost", "FLOPs", ".3~e")], " by FLOPs")


def _cut(rows: Rows) -> Rows:
    """Rows whose intervals end where they go farther beyond the scores than these lie apart."""
    scores = [row["score"] for row in rows]
    bottom, top = min(scores), max(scores)
    room = max(top - bottom, 0.02)
    return [row if row["low"] is None else _within(row, bottom - room, top + room) for row in rows]


def _within(row: Row, bottom: float, top: float) -> Row:
    return row | {"low": max(row["low"], bottom), "high": min(row["high"], top)}


def _curve(rows: Rows, look: Style, x: alt.X, tips: list[alt.Tooltip], what: str = "") -> Figure:
    whole = [row | {"complete": True} for row in rows]
    drawn = alt.layer(
        base.band(_cut(rows), x, look), base.line(rows, x, look), base.points(whole, x, look, tips, size=36)
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} had training stopped here{what}"
    last = {row["method"]: row for row in rows}
    return base.finish(drawn, title, base.in_words(list(last.values()), lambda row: f"step {row['step']}"))
