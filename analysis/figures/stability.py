"""How many examples two seeds of one configuration disagree on."""

from collections.abc import Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows, Style

KEPT = ("method", "disagreement", "low", "high", "unanimous", "n", "examples")


def disagreement(frame: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """A figure per task and budget at the largest fraction: mean disagreement, and its range over pairs of seeds."""
    if not frame.empty:
        yield from base.panels(_draw, "disagreement", base.top(frame), look, "disagreement")


def _draw(rows: Rows, look: Style) -> Figure:
    shown: Rows = [row | {"low": row["disagreement_min"], "high": row["disagreement_max"]} for row in rows]
    classes = rows[0]["kind"] == "classes"
    title = "share of examples on which two seeds disagree" if classes else "disagreement of two seeds"
    form = ".1%" if classes else ".3~g"
    x = alt.X(
        "disagreement:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(format=".2~%" if classes else "~g")
    )
    y = alt.Y("method:N", title=None, sort=list(look.methods))
    colour, shape = look.colour().legend(None), look.shape().legend(None)
    tips = [alt.Tooltip("method:N"), base.tip("disagreement", "mean", form), base.tip("low", "least", form)]
    tips += [base.tip("high", "most", form), base.tip("n", "seeds", "d"), base.tip("examples", "examples", ",")]
    drawn = alt.layer(
        base.chart(shown, KEPT)
        .mark_rule(strokeWidth=2)
        .encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=colour),
        base.chart(shown, KEPT)
        .mark_point(size=80, filled=True)
        .encode(x=x, y=y, color=colour, shape=shape, tooltip=tips),
    )
    heading = f"{look.where(rows)}: predictions that change with the seed"
    return base.finish(drawn, heading, " ".join(_said(row, form) for row in shown), 26 * len(rows) + 20)


def _said(row: Row, form: str) -> str:
    clean = form.replace("~", "")
    return f"{row['method']}: {row['disagreement']:{clean}} ({row['low']:{clean}} to {row['high']:{clean}})."
