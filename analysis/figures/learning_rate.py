"""Score against learning rate."""

import altair as alt

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Rows, Style


def by_lr(rows: Rows, look: Style) -> Figure:
    """Score against learning rate at the largest fraction, a line per method; the chosen one is ringed."""
    tried = sorted({row["lr"] for row in rows})
    axis = alt.Axis(values=tried, format=".2~e", labelOverlap=True, grid=False)
    x = alt.X("lr:Q", title="learning rate", scale=alt.Scale(type="log", nice=False, padding=18), axis=axis)
    ring = base.chart([row for row in rows if row["chosen"]]).mark_point(size=260, strokeWidth=1.5, shape="circle")
    drawn = alt.layer(
        base.line([row for row in rows if row["complete"]], x, look),
        base.interval(rows, x, look),
        ring.encode(x=x, y=base.score_axis(rows[0]["metric"]), color=look.colour(), opacity=base.SHOWN),
        base.points(rows, x, look, [base.tip("lr", "learning rate", ".3~g")]),
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} against learning rate"
    return base.finish(drawn, title, base.in_words(rows, lambda row: f"{row['lr']:g}"))
