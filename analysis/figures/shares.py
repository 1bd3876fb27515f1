"""What the variance of scores is made of."""

from collections.abc import Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows, Style
from finebench.analysis.tables.formats import plain

BETWEEN = "all methods"
"""In place of a method's name, where methods are one of the sources."""

KEPT = ("method", "source", "share", "low", "high", "sd", "levels", "runs")


def variance_shares(frame: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """A figure per task and budget at the largest fraction: each source's share with its interval, by method."""
    if frame.empty or "share" not in frame:
        return
    known = frame[frame["share"].notna()].assign(method=lambda rows: rows["method"].fillna(BETWEEN))
    yield from base.panels(_draw, "variance-shares", base.top(known), look, "share")


def _draw(rows: Rows, look: Style) -> Figure:
    """Points, not stacked bars: estimated shares have intervals, and a stack would hide them."""
    shown = [row | {"low": row["share_low"], "high": row["share_high"], "source": plain(row["source"])} for row in rows]
    shown = _methods_first(shown, look)
    title = "share of the variance of scores"
    axis = alt.Axis(format=".0%")
    x = alt.X("share:Q", title=title, scale=alt.Scale(domain=[0, 1]), axis=axis)
    y = alt.Y("source:N", title=None, sort=None)
    known = Style((*look.methods, BETWEEN), look.several_budgets)
    aside = alt.YOffset("method:N", sort=list(known.methods), scale=alt.Scale(paddingInner=0.2, paddingOuter=0.5))
    tips = [alt.Tooltip("method:N"), alt.Tooltip("source:N"), base.tip("share", "share", ".0%")]
    tips += [base.tip("low", "95 % from", ".0%"), base.tip("high", "95 % to", ".0%"), base.tip("sd", "sd", ".4f")]
    mark = base.chart(shown, KEPT).mark_point(size=70, filled=True).add_params(base.PICK)
    drawn = alt.layer(
        base.chart([row for row in shown if row["low"] is not None], KEPT)
        .mark_rule(strokeWidth=2)
        .encode(
            x=alt.X("low:Q", title=title, axis=axis), x2="high:Q", y=y, yOffset=aside,
            color=known.colour(), opacity=base.SHOWN,
        ),
        mark.encode(
            x=x, y=y, yOffset=aside, color=known.colour(), shape=known.shape(), opacity=base.SHOWN,
            tooltip=[*tips, alt.Tooltip("levels:N")],
        ),
    )  # fmt: skip
    heading = f"{look.where(rows)}: what the variance of scores is made of, with 95 % intervals"
    lanes = len({row["method"] for row in shown})
    height = len({row["source"] for row in shown}) * (11 * lanes + 20)
    return base.finish(drawn, heading, " ".join(map(_said, shown)), height)


def _methods_first(rows: Rows, look: Style) -> Rows:
    """Sources in the order of their first method, those between methods last."""
    rank = {name: place for place, name in enumerate((*look.methods, BETWEEN))}
    return sorted(rows, key=lambda row: rank.get(row["method"], len(rank)))


def _said(row: Row) -> str:
    span = f" ({row['low']:.0%} to {row['high']:.0%})" if row["low"] is not None else ""
    return f"{row['method']}, {row['source']}: {row['share']:.0%}{span}."
