"""What was scored: over all tasks at once, and per task against the share of the training data."""

import itertools
import math
from collections.abc import Sequence

import altair as alt

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Rows, Style


def overview(rows: Rows, look: Style) -> Figure:
    """All tasks in one picture: a row per task (and budget), in it a mark per method with its interval."""
    rows = [row | {"place": look.where([row])} for row in rows]
    keep = (*base.KEPT, "place", "metric")
    y = alt.Y("place:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False))
    aside = alt.YOffset("method:N", sort=list(look.methods), scale=alt.Scale(paddingInner=0.2, paddingOuter=0.5))
    axis = alt.X("score:Q", title="score, each task in its own metric", scale=alt.Scale(zero=False, padding=8))
    spans = base.chart([row for row in rows if row["low"] is not None], keep).mark_rule(strokeWidth=2)
    low = alt.X("low:Q", title="score, each task in its own metric")
    marks = base.chart(rows, keep).mark_point(size=70, filled=False, strokeWidth=1.6).add_params(base.PICK)
    tips = [alt.Tooltip("place:N", title="task"), alt.Tooltip("metric:N"), *base.score_tips()]
    drawn = alt.layer(
        spans.encode(x=low, x2="high:Q", y=y, yOffset=aside, color=look.colour(), opacity=base.SHOWN),
        marks.encode(x=axis, y=y, yOffset=aside, color=look.colour(), shape=look.shape(), tooltip=tips).encode(
            fill=look.colour(), fillOpacity=base.WHOLE, opacity=base.SHOWN
        ),
    )
    said = " ".join(f"{row['place']}, {row['method']}: {base.number(row, 'score')}{_hole(row)}." for row in rows)
    title = "Scores at the largest share of the data, with 95 % intervals"
    height = len({row["place"] for row in rows}) * (14 * len(look.methods) + 22)
    return base.finish(drawn, title, said, height)


def _hole(row: base.Row) -> str:
    return "" if row["complete"] else ", incomplete"


def by_fraction(rows: Rows, look: Style) -> Figure:
    """Score against data fraction, a line per method with its interval."""
    fractions = sorted({row["fraction"] for row in rows})
    for row in rows:
        row["x"] = row["fraction"] * _aside(look.methods, row["method"], fractions)
    domain = [fractions[0] * 0.9, fractions[-1] * 1.1]
    axis = alt.Axis(values=fractions, format=".3~%", title="share of the training data", grid=False, labelOverlap=True)
    x = alt.X("x:Q", axis=axis, scale=alt.Scale(type="log", domain=domain, nice=False))
    whole = [row for row in rows if row["complete"]]
    drawn = alt.layer(
        base.line(whole, x, look),
        base.interval(rows, x, look),
        base.points(rows, x, look, [base.tip("fraction", "fraction", ".3~%")]),
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} against training data"
    return base.finish(drawn, title, base.in_words(rows, lambda row: f"{row['fraction']:.3g}"))


def _aside(methods: Sequence[str], method: str, fractions: Sequence[float]) -> float:
    """A factor that sets a method's points slightly aside on a log axis, so that intervals do not hide each other."""
    gaps = [math.log(b / a) for a, b in itertools.pairwise(fractions)]
    step = min(0.025, 0.5 * min(gaps, default=1.0) / max(1, len(methods)))
    return math.exp(step * (methods.index(method) - (len(methods) - 1) / 2))
