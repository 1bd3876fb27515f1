"""Methods over all tasks: interquartile means, performance profiles, mean ranks with the critical difference."""

from collections.abc import Callable, Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows, Style
from finebench.analysis.tables.formats import plain


def over_tasks(aggregates: pd.DataFrame, profiles: pd.DataFrame, ranks: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """A figure of each kind per fraction and budget that all tasks have."""
    yield from _each(_means, "aggregates", aggregates, "iqm", look)
    yield from _each(_profile, "profiles", profiles, "share", look)
    yield from _each(_ranks, "ranks", ranks, "rank", look)


def _each(
    draw: Callable[[Rows, Style], Figure], kind: str, frame: pd.DataFrame, value: str, look: Style
) -> Iterator[Figure]:
    if frame.empty or value not in frame:
        return
    known = frame[frame[value].notna()]
    for number, (_, part) in enumerate(known.groupby(["budget", "fraction"], sort=True), start=1):
        rows = base.safe_rows(part)
        yield base.named(draw(rows, look), f"{kind}-{number:02d}", kind)


def _where(rows: Rows, look: Style) -> str:
    share = f"{100 * rows[0]['fraction']:.4g} % of the data"
    return f"{share}, {rows[0]['budget_label']}" if look.several_budgets else share


def _means(rows: Rows, look: Style) -> Figure:
    keep = ("method", "iqm", "low", "high")
    title = "normalised score, IQM over tasks"
    x = alt.X("iqm:Q", title=title, scale=alt.Scale(zero=False, padding=8))
    y = alt.Y("method:N", title=None, sort=list(look.methods))
    colour, shape = look.colour().legend(None), look.shape().legend(None)
    tips = [alt.Tooltip("method:N"), base.tip("iqm", "IQM", ".3f"), base.tip("low", "95 % from", ".3f")]
    span = base.chart([row for row in rows if row["low"] is not None], keep).mark_rule(strokeWidth=2)
    mark = base.chart(rows, keep).mark_point(size=80, filled=True)
    drawn = alt.layer(
        span.encode(x=alt.X("low:Q", title=title), x2="high:Q", y=y, color=colour),
        mark.encode(x=x, y=y, color=colour, shape=shape, tooltip=[*tips, base.tip("high", "95 % to", ".3f")]),
    )
    said = " ".join(f"{row['method']}: {base.number(row, 'iqm')}." for row in rows)
    heading = f"{_where(rows, look)}: interquartile mean over {rows[0]['tasks']} tasks; {plain(rows[0]['scale'])}"
    return base.finish(drawn, heading, said, 28 * len(rows) + 20)


def _profile(rows: Rows, look: Style) -> Figure:
    keep = ("method", "level", "share", "low", "high")
    x = alt.X("level:Q", title="normalised score τ", scale=alt.Scale(nice=False))
    y = alt.Y("share:Q", title="share of runs above τ", axis=alt.Axis(format=".0%"))
    tips = [alt.Tooltip("method:N"), base.tip("level", "τ", ".2f"), base.tip("share", "share", ".0%")]
    drawn = alt.layer(
        base.chart(rows, keep)
        .mark_area(opacity=0.12)
        .encode(x=x, y=alt.Y("low:Q", title="share of runs above τ"), y2="high:Q", color=look.colour()),
        base.chart(rows, keep)
        .mark_line(strokeWidth=1.8)
        .add_params(base.PICK)
        .encode(x=x, y=y, color=look.colour(), opacity=base.SHOWN, tooltip=tips),
    )
    halves = {row["method"]: row for row in rows if row["share"] >= 0.5}
    said = " ".join(f"{name}: half of its runs are above {row['level']:.2f}." for name, row in halves.items())
    return base.finish(drawn, f"{_where(rows, look)}: performance profiles over {rows[0]['tasks']} tasks", said)


def _ranks(rows: Rows, look: Style) -> Figure:
    """Demšar's diagram: mean ranks, and a bar under every group that the critical difference does not tell apart."""
    rows.sort(key=lambda row: row["rank"])
    groups = [{"from": part[0]["rank"], "to": part[-1]["rank"], "group": letter} for letter, part in _groups(rows)]
    x = alt.X("rank:Q", title="mean rank over tasks, 1 is best", scale=alt.Scale(zero=False, padding=18))
    y = alt.Y("method:N", title=None, sort=[row["method"] for row in rows])
    keep = ("method", "rank", "difference", "group")
    colour, shape = look.colour().legend(None), look.shape().legend(None)
    tips = [alt.Tooltip("method:N"), base.tip("rank", "mean rank", ".2f")]
    tips += [base.tip("difference", "critical difference", ".2f"), alt.Tooltip("group:N", title="not told apart")]
    bars = [bar | {"method": part[-1]["method"]} for bar, (_, part) in zip(groups, _groups(rows), strict=True)]
    drawn = alt.layer(
        base.chart(bars, ("from", "to", "group", "method"))
        .mark_bar(size=5, color="#7F7F7F", yOffset=12)
        .encode(x=alt.X("from:Q", title="mean rank over tasks, 1 is best"), x2="to:Q", y=y),
        base.chart(rows, keep)
        .mark_point(size=90, filled=True, opacity=1)
        .encode(x=x, y=y, color=colour, shape=shape, tooltip=tips),
    )
    said = f"Critical difference {rows[0]['difference']:.2f}. " + " ".join(map(_said, rows))
    heading = f"{_where(rows, look)}: mean ranks; a bar joins what the critical difference does not tell apart"
    return base.finish(drawn, heading, said, 34 * len(rows) + 24)


def _groups(rows: Rows) -> list[tuple[str, Rows]]:
    """Groups of at least two methods by letter, in order of rank."""
    letters = sorted({letter for row in rows for letter in row["group"]})
    parts = [(letter, [row for row in rows if letter in row["group"]]) for letter in letters]
    return [(letter, part) for letter, part in parts if len(part) > 1]


def _said(row: Row) -> str:
    return f"{row['method']}: mean rank {row['rank']:.2f}, group {row['group']}."
