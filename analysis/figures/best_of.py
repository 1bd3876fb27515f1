"""Expected best score against the number of tries, and against what they cost."""

from collections.abc import Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Rows, Style

KEPT = ("method", "score", "tries", "cost", "complete")


def expected_best(frame: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """Two figures per task and budget at the largest fraction, where the search was random."""
    if frame.empty or "expected" not in frame:
        return
    known = base.top(frame[frame["expected"].notna()])
    yield from base.panels(_by_tries, "best-of", known, look, "expected")
    timed = known[known["train_seconds"] > 0] if not known.empty else known
    yield from base.panels(_by_seconds, "best-of-seconds", timed, look, "expected")


def _by_tries(rows: Rows, look: Style) -> Figure:
    x = alt.X("tries:Q", title="tries", axis=alt.Axis(format="d"))
    return _draw(rows, look, x, "number of tries", [base.tip("tries", "tries", "d")])


def _by_seconds(rows: Rows, look: Style) -> Figure:
    for row in rows:
        row["cost"] = row["train_seconds"]
    x = alt.X("cost:Q", title="seconds of training, all tries together", scale=alt.Scale(zero=False))
    return _draw(rows, look, x, "seconds of search", [base.tip("cost", "seconds", ",.3~r")])


def _draw(rows: Rows, look: Style, x: alt.X, what: str, tips: list[alt.Tooltip]) -> Figure:
    shown = [row | {"score": row["expected"], "low": None, "high": None, "complete": True} for row in rows]
    shown.sort(key=lambda row: row["tries"])
    drawn = alt.layer(base.line(shown, x, look, KEPT), base.points(shown, x, look, tips, size=36, keep=KEPT))
    title = f"{look.where(rows)}: expected best {rows[0]['metric']} against {what}"
    ends = {row["method"]: row for row in shown}
    return base.finish(drawn, title, base.in_words(list(ends.values()), lambda row: f"{row['tries']} tries"))
