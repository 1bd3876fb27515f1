"""Differences with their intervals around a line of no difference."""

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Rows, Style

KEEP = ("place", "method", "difference", "low", "high", "complete", "n", "how")


def changes(frame: pd.DataFrame, look: Style) -> list[Figure]:
    """B less A per cell, a figure per metric, since differences of two metrics share no axis."""
    made = []
    judged = frame[frame["difference"].notna()]
    for number, (metric, part) in enumerate(judged.groupby("metric"), start=1):
        rows = base.safe_rows(part)
        figure = _changes(rows, look)
        made.append(base.named(figure, f"changes-{number:02d}-{base.slug(str(metric))}", "changes"))
    return made


def _changes(rows: Rows, look: Style) -> Figure:
    for row in rows:
        row["place"] = f"{look.where([row])}, {row['fraction']:.3g}"
        row |= {"complete": row["low"] is not None, "n": row["pairs"]}
    title = f"Change in {rows[0]['metric']}: B less A, with 95 % intervals"
    axis = f"difference in {rows[0]['metric']}, B less A"
    drawn = alt.layer(_zero(axis), *_marks(rows, look, axis))
    said = " ".join(f"{row['place']}, {row['method']}: {base.number(row, 'difference', '+.3f')}." for row in rows)
    return base.finish(drawn, title, said, height(rows, look))


def height(rows: Rows, look: Style) -> int:
    """Pixels for a row per place and, in it, one per method."""
    return len({row["place"] for row in rows}) * (14 * len(look.methods) + 22)


def _zero(title: str) -> alt.Chart:
    """The title is every layer's: different ones would stand one after the other."""
    rule = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(strokeDash=[4, 3], color="#7F7F7F")
    made: alt.Chart = rule.encode(x=alt.X("zero:Q", title=title))
    return made


def _marks(rows: Rows, look: Style, title: str) -> list[alt.Chart]:
    y = alt.Y("place:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False))
    aside = alt.YOffset("method:N", sort=list(look.methods), scale=alt.Scale(paddingInner=0.2, paddingOuter=0.5))
    spans = base.chart([row for row in rows if row["low"] is not None], KEEP).mark_rule(strokeWidth=2)
    marks = base.chart(rows, KEEP).mark_point(size=70, filled=False, strokeWidth=1.6).add_params(base.PICK)
    tips = [alt.Tooltip("place:N"), alt.Tooltip("method:N"), base.tip("difference", "difference", "+.4f")]
    tips += [base.tip("low", "95 % from", "+.4f"), base.tip("high", "95 % to", "+.4f"), base.tip("n", "pairs", "d")]
    encoded = marks.encode(
        x=alt.X("difference:Q", title=title), y=y, yOffset=aside, color=look.colour(), shape=look.shape(), tooltip=tips
    )
    return [
        spans.encode(
            x=alt.X("low:Q", title=title), x2="high:Q", y=y, yOffset=aside, color=look.colour(), opacity=base.SHOWN
        ),
        encoded.encode(fill=look.colour(), fillOpacity=base.WHOLE, opacity=base.SHOWN),
    ]
