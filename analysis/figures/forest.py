"""Two methods over all tasks: a forest of paired differences, a row per task."""

from collections.abc import Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows, Style
from finebench.analysis.figures.pairs import FAINT, INK
from finebench.analysis.tables.formats import plain

KEPT = ("place", "difference", "low", "high", "pairs", "p_holm", "judged")

MOST_FIGURES = 18
"""As many as a page holds of one kind: those of the largest fractions, couples in the study's order."""


def forests(frame: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """A figure per couple, fraction and budget that have a difference on two tasks or more; `frame` as `pairs`."""
    if frame.empty:
        return
    found = frame[frame["difference"].notna()].groupby(["fraction", "budget", "a", "b"], sort=False)
    parts = [part for _, part in found if len(part) > 1]
    parts.sort(key=lambda part: part["fraction"].iloc[0], reverse=True)
    for number, part in enumerate(parts[:MOST_FIGURES], start=1):
        rows = base.safe_rows(part)
        name = f"forest-{number:02d}-{base.slug(rows[0]['a'])}-{base.slug(rows[0]['b'])}"
        yield base.named(_draw(rows, look), name, "forest")


def _draw(rows: Rows, look: Style) -> Figure:
    several = len({row["metric"] for row in rows}) > 1
    shown = [row | {"place": _place(row, several), "judged": row["p_holm"] is not None} for row in rows]
    couple = plain(f"{rows[0]['a']} − {rows[0]['b']}")
    axis = f"{_quiet(couple)}, each task in its own metric" if several else f"{_quiet(couple)} in {rows[0]['metric']}"
    share = f"{100 * rows[0]['fraction']:.4g} % of the data"
    where = f"{share}, {rows[0]['budget_label']}" if look.several_budgets else share
    heading = f"{couple}, {where}: paired differences by task, with 95 % intervals"
    said = " ".join(f"{row['place']}: {base.number(row, 'difference', '+.3f')}, {row['pairs']} pairs." for row in shown)
    return base.finish(_chart(shown, axis), heading, said, 26 * len(shown) + 24)


def _place(row: Row, several: bool) -> str:
    return f"{row['task']} ({row['metric']})" if several else str(row["task"])


def _quiet(text: str) -> str:
    """Axis titles end up in expressions, where quotes and backslashes would be read as code."""
    return text.translate({ord(character): "’" for character in "\"'\\`"})


def _chart(rows: Rows, title: str) -> alt.LayerChart | alt.FacetChart:
    """Filled where there are pairs enough to judge, hollow where not; left of the line of no difference b is ahead."""
    x = alt.X("difference:Q", title=title, scale=alt.Scale(zero=True, padding=8))
    y = alt.Y("place:N", title=None, sort=None, axis=alt.Axis(ticks=False))
    zero = alt.Chart(alt.InlineData(values=[{"difference": 0}])).mark_rule(strokeDash=[4, 3], color=FAINT)
    tips = [alt.Tooltip("place:N", title="task"), base.tip("difference", "difference", "+.4f")]
    tips += [base.tip("low", "95 % from", "+.4f"), base.tip("high", "95 % to", "+.4f"), base.tip("pairs", "pairs", "d")]
    whole = [row for row in rows if row["low"] is not None]
    span = base.chart(whole, KEPT).mark_rule(strokeWidth=2.2, color=INK)
    spans = [span.encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y)] if whole else []
    mark = base.chart(rows, KEPT).mark_point(size=80, strokeWidth=1.8, color=INK, opacity=1)
    fill = alt.condition("datum.judged", alt.value(INK), alt.value("transparent"))
    return alt.layer(
        zero.encode(x=x),
        *spans,
        mark.encode(x=x, y=y, fill=fill, tooltip=[*tips, base.tip("p_holm", "p (Holm)", ".3~g")]),
    )
