"""Of seeds that come until claims are settled: each look's estimate and interval against the claim's bound."""

from collections.abc import Iterator
from typing import Any

import altair as alt

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows
from finebench.analysis.figures.verdicts import allowed, closed
from finebench.analysis.tables.formats import plain

MOST_FIGURES = 18
"""As many as a page holds of one kind; claims.json has the others."""

KEPT = ("seeds", "estimate", "low", "high", "look", "pairs", "from", "to", "ended")


def looks(claims: list[dict[str, Any]]) -> Iterator[Figure]:
    """A figure per claim and task with several looks, in the study's order; `claims` as in claims.json."""
    made = [(claim, rows) for claim in claims if claim.get("looks") for rows in _by_task(claim) if len(rows) > 1]
    for number, (claim, rows) in enumerate(made[:MOST_FIGURES], start=1):
        yield base.named(_draw(claim, rows), f"claims-looks-{number:02d}-{base.slug(claim['id'])}", "claims")


def _by_task(claim: dict[str, Any]) -> Iterator[Rows]:
    tasks = dict.fromkeys(step["task"] for step in claim["looks"]["path"])
    for task in tasks:
        steps = [step for step in claim["looks"]["path"] if step["task"] == task and step["estimate"] is not None]
        at = claim["looks"]["decided_at"]
        yield [step | allowed(claim) | {"ended": step["look"] == at} for step in steps]


def _draw(claim: dict[str, Any], rows: Rows) -> Figure:
    last = claim["looks"]["planned"][-1]
    x = alt.X("seeds:Q", title="seeds", scale=alt.Scale(domain=[0, last + 1], nice=False))
    ends = [row[key] for row in rows for key in ("estimate", "low", "high", "from", "to") if row[key] is not None]
    span = (max(ends) - min(ends) or 1.0) * 0.06
    low, high = min(ends) - span, max(ends) + span
    title = plain(str(claim["quantity"]))
    y = alt.Y("estimate:Q", title=title, scale=alt.Scale(domain=[low, high], nice=False))
    first = rows[0]
    band = {"seeds": 0, "until": last + 1, "from": closed(first["from"], low), "to": closed(first["to"], high)}
    held = alt.Chart(alt.InlineData(values=[band])).mark_rect(color="#009E73", opacity=0.16)
    spans = [
        row | {"low": closed(row["low"], low), "high": closed(row["high"], high)}
        for row in rows
        if row["low"] is not None or row["high"] is not None
    ]
    tips = [base.tip("look", "interim analysis", "d"), base.tip("seeds", "seeds", "d"), base.tip("pairs", "pairs", "d")]
    tips += [base.tip(key, name, ".4~g") for key, name in (("estimate", title), ("low", "from"), ("high", "to"))]
    drawn = alt.layer(
        held.encode(x=x, x2="until:Q", y=alt.Y("from:Q", title=title), y2="to:Q"),
        base.chart(spans, KEPT).mark_rule(strokeWidth=1.8).encode(x=x, y=alt.Y("low:Q", title=title), y2="high:Q"),
        base.chart(rows, KEPT)
        .mark_point(size=80, filled=True, opacity=1)
        .encode(
            x=x,
            y=y,
            tooltip=tips,
            shape=alt.condition("datum.ended", alt.value("diamond"), alt.value("circle")),
            size=alt.condition("datum.ended", alt.value(160), alt.value(70)),
        ),
    )
    heading = f"{plain(str(claim['id']))} on {plain(str(first['task']))}: {claim['verdict']}, by interim analysis"
    return base.finish(drawn, heading, " ".join(_said(row) for row in rows), 220)


def _said(row: Row) -> str:
    return f"{row['seeds']} seeds: {base.number(row, 'estimate', '.3g')}{', decided' if row['ended'] else ''}."
