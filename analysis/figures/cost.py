"""Score against what it costs, with the front that no method beats on both."""

from collections.abc import Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows, Style
from finebench.analysis.load.words import word

UNITS = {
    "trainable_params": ("trained parameters", "count"),
    "delta_bytes": ("bytes stored per task", "bytes"),
    "train_seconds": ("seconds of training", "seconds"),
    "peak_memory_bytes": ("peak memory in bytes", "bytes"),
    "train_flops": ("FLOPs of training", "flops"),
    "energy_joules": ("energy in joules", "joules"),
}
"""Costs drawn: the axis title, and how a value is worded."""

ALIKE = 1.02
"""Costs within 2 % of each other are no choice, and no figure."""

KEPT = (*base.KEPT, "likely", "probability")


def pareto(fronts: pd.DataFrame, scores: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """A figure per task, budget and cost in which methods differ; `fronts` as `analysis.costs.pareto` makes it."""
    if fronts.empty:
        return
    keys = ["task", "fraction", "budget", "method"]
    ends = scores[[*keys, "metric", "low", "high", "setting", "complete"]]
    known = fronts[fronts["value"].notna()].merge(ends, on=keys)
    for cost in UNITS:
        part = known[known["cost"] == cost]
        if not part.empty and part["value"].max() > ALIKE * part["value"].min():
            yield from base.panels(_pareto, f"pareto-{cost.replace('_', '-')}", part, look)


def _pareto(rows: Rows, look: Style) -> Figure:
    """A mark per method, labelled with its probability of being on the front, and the front as a staircase."""
    for row in rows:
        row |= {"kind": row["cost"], "cost": row["value"]}
        row["likely"] = "" if row["probability"] is None else f"{row['probability']:.0%}"
    title, kind = UNITS[rows[0]["kind"]]
    x = cost_axis([row["cost"] for row in rows], title)
    steps = base.chart([row for row in rows if row["on_front"]], KEPT).mark_line(
        interpolate="step-after", strokeDash=[4, 3], color="#7F7F7F", strokeWidth=1.2
    )
    tips = [base.tip("cost", title, ",.4~r"), base.tip("probability", "P(on the front)", ".0%")]
    last = max(row["cost"] for row in rows)
    inner, outer = ([row for row in rows if (row["cost"] == last) is end] for end in (False, True))
    labels = [
        base.chart(inner, KEPT).mark_text(dx=9, dy=-8, align="left", fontSize=11),
        base.chart(outer, KEPT).mark_text(dx=-9, dy=-8, align="right", fontSize=11),
    ]
    y = base.score_axis(rows[0]["metric"])
    drawn = alt.layer(
        steps.encode(x=x, y=y),
        base.interval(rows, x, look),
        base.points(rows, x, look, tips, keep=KEPT),
        *(label.encode(x=x, y=y, text="likely:N", color=look.colour(), opacity=base.SHOWN) for label in labels),
    )
    heading = f"{look.where(rows)}: {rows[0]['metric']} against {title}"
    return base.finish(drawn, heading, " ".join(_said(row, kind) for row in rows))


def _said(row: Row, kind: str) -> str:
    place = "on the front" if row["on_front"] else f"beaten by {row['beaten_by']}"
    share = f", in {row['likely']} of resamples on it" if row["likely"] else ""
    return f"{row['method']}: {base.number(row, 'score')} at {word(row['cost'], kind)}, {place}{share}."


def cost_axis(costs: list[float], title: str) -> alt.X:
    """A cost, on a log axis where the largest is more than eight times the smallest."""
    log = max(costs) > 8 * min(costs) > 0
    scale = alt.Scale(type="log", nice=False, padding=24) if log else alt.Scale(nice=False, padding=24, zero=False)
    return alt.X("cost:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, labelOverlap=True, format="~s"))
