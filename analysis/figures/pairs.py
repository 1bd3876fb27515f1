"""Method against method: the paired difference, and how often one is ahead."""

from collections.abc import Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows, Style
from finebench.analysis.statistics.superiority import GAMMA, LEAST
from finebench.analysis.tables.formats import plain

INK, FAINT = "#0072B2", "#7F7F7F"

KEPT = ("couple", "value", "low", "high", "pairs", "p_holm", "verdict", "judged")

TALLEST = 24
"""Couples above which a figure is left to its table: 7 methods give 21."""


def differences(frame: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """A forest plot per task and budget at the largest fraction: a − b of every couple with its interval."""
    yield from base.panels(_forest, "pair-differences", _drawn(frame), look, "difference")


def superiority(frame: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """P(A > B) per couple with its interval, beside an even chance and the threshold of a meaningful one."""
    yield from base.panels(_superiority, "superiority", _drawn(frame), look, "superiority")


def _drawn(frame: pd.DataFrame) -> pd.DataFrame:
    if frame.empty:
        return frame
    top = base.top(frame)
    return top[top.groupby(["task", "budget"])["a"].transform("size") <= TALLEST]


def _forest(rows: Rows, look: Style) -> Figure:
    shown = [_row(row, "difference", "low", "high", " − ", row["p_holm"] is not None) for row in rows]
    for one in shown:
        one["verdict"] = "differs (Holm)" if one["p_holm"] is not None and one["p_holm"] < 0.05 else "not separated"
    metric = rows[0]["metric"]
    title = f"{look.where(rows)}: paired differences in {metric}, with 95 % intervals"
    said = " ".join(f"{one['couple']}: {base.number(one, 'value', '+.3f')}, {one['pairs']} pairs." for one in shown)
    return base.finish(_chart(shown, f"difference in {metric}", (0.0,), "+.4f"), title, said, _height(shown))


def _superiority(rows: Rows, look: Style) -> Figure:
    shown = [
        _row(row, "superiority", "superiority_low", "superiority_high", " > ", row["pairs"] >= LEAST) for row in rows
    ]
    title = f"{look.where(rows)}: how often one method is ahead on the same seed"
    said = " ".join(f"{one['couple']}: {base.number(one, 'value', '.2f')}, {one['verdict']}." for one in shown)
    drawn = _chart(shown, "P(A > B)", (0.5, GAMMA), ".2f", alt.Scale(domain=[-0.04, 1.04], nice=False))
    return base.finish(drawn, title, said, _height(shown))


def _row(row: Row, value: str, low: str, high: str, sign: str, judged: bool) -> Row:
    kept = {key: row.get(key) for key in ("pairs", "p_holm", "verdict")}
    couple = plain(f"{row['a']}{sign}{row['b']}")
    return kept | {"couple": couple, "value": row[value], "low": row[low], "high": row[high], "judged": judged}


def _height(rows: Rows) -> int:
    return 24 * len(rows) + 20


def _chart(
    rows: Rows, title: str, marks: tuple[float, ...], form: str, scale: alt.Scale | None = None
) -> alt.LayerChart | alt.FacetChart:
    """A row per couple; filled where there are pairs enough to judge, hollow where not."""
    x = alt.X("value:Q", title=title, scale=scale or alt.Scale(zero=True, padding=8))
    y = alt.Y("couple:N", title=None, sort=None, axis=alt.Axis(ticks=False))
    lines = alt.Chart(alt.InlineData(values=[{"value": mark} for mark in marks])).mark_rule(
        strokeDash=[4, 3], color=FAINT
    )
    tips = [alt.Tooltip("couple:N"), base.tip("value", title, form), base.tip("low", "95 % from", form)]
    tips += [base.tip("high", "95 % to", form), base.tip("pairs", "pairs", "d"), base.tip("p_holm", "p (Holm)", ".3~g")]
    span = base.chart([row for row in rows if row["low"] is not None], KEPT).mark_rule(strokeWidth=2.2, color=INK)
    mark = base.chart(rows, KEPT).mark_point(size=80, filled=False, strokeWidth=1.8, color=INK)
    fill = alt.condition("datum.judged", alt.value(INK), alt.value("transparent"))
    return alt.layer(
        lines.encode(x=x),
        span.encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y),
        mark.encode(x=x, y=y, fill=fill, tooltip=[*tips, alt.Tooltip("verdict:N")]),
    )
