"""Each claim's estimate and interval against what the claim allows."""

from typing import Any

import altair as alt

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Row, Rows
from finebench.analysis.tables.formats import plain
from finebench.bench.study.parts.claim_kinds import kind

LOOKS = {"supported": ("#009E73", "circle"), "refuted": ("#D55E00", "cross"), "inconclusive": ("#7F7F7F", "diamond")}
"""Colour and shape of each verdict."""

KEPT = ("place", "verdict", "estimate", "low", "high", "level", "pairs", "from", "to")


def verdict_strips(claims: list[dict[str, Any]]) -> list[Figure]:
    """Three figures at most, differences, ratios and shares, a row per claim and task; `claims` as in claims.json."""
    made = []
    for measure in ("differences", "ratios", "shares"):
        rows = [row for one in claims if _kind(one) == measure for row in _rows(one)]
        if rows:
            figure = _strip(rows, measure)
            made.append(base.named(figure, f"claims-{measure}", "claims"))
    return made


def _kind(claim: dict[str, Any]) -> str:
    return f"{kind(claim['says']).measures}s"


def _rows(claim: dict[str, Any]) -> Rows:
    """The findings of a claim that have an estimate, with the range in which it holds; an exact one has no interval."""
    several = len(claim["per_task"]) > 1
    made = []
    for found in claim["per_task"]:
        if found["estimate"] is not None and (_kind(claim) != "ratios" or found["estimate"] > 0):
            place = plain(f"{claim['id']}: {found['task']}" if several else str(claim["id"]))
            known = {key: found.get(key) for key in KEPT} | allowed(claim) | {"place": place} | _word(claim)
            none = dict.fromkeys(("low", "high", "level")) if found["level"] == 1 else {}
            made.append(known | none | {"exact": bool(none)})
    return made


def _word(claim: dict[str, Any]) -> Row:
    return {"verdict": claim["verdict"]}


def allowed(claim: dict[str, Any]) -> Row:
    """Where the estimate must lie for the claim to hold; None is open."""
    own = kind(claim["says"])
    bound = own.bound(claim["margin"], claim["factor"])
    low = None if own.holds == "below" or bound is None else -bound if own.holds == "within" else bound
    return {"from": low, "to": None if own.holds == "above" else bound}


TITLES = {
    "differences": "difference in points of the metric (or as the claim has it)",
    "ratios": "ratio",
    "shares": "share, as the claim has it",
}


def _strip(rows: Rows, measure: str) -> Figure:
    title, ratio = TITLES[measure], measure == "ratios"
    ends = [
        v for row in rows for v in (row["estimate"], row["low"], row["high"], row["from"], row["to"]) if v is not None
    ]
    ends = [v for v in ends if v > 0] if ratio else [*ends, 0.0]
    span = (max(ends) / min(ends)) ** 0.06 if ratio else (max(ends) - min(ends) or 1.0) * 0.06
    low, high = (min(ends) / span, max(ends) * span) if ratio else (min(ends) - span, max(ends) + span)
    scale = alt.Scale(type="log" if ratio else "linear", domain=[low, high], nice=False)
    x = alt.X("estimate:Q", title=title, scale=scale, axis=alt.Axis(labelOverlap=True, tickCount=6))
    # claim and task on two lines: what does not fit is cut from the claim, never the task
    lines = alt.Axis(ticks=False, labelExpr="split(datum.label, ': ')")
    y = alt.Y("place:N", title=None, sort=None, axis=lines)
    bounded = [row | {"from": closed(row["from"], low), "to": closed(row["to"], high)} for row in rows if _bounded(row)]
    held = base.chart(bounded, KEPT).mark_bar(height={"band": 0.8}, color="#009E73", opacity=0.16)
    whole = [row for row in rows if row["low"] is not None and row["high"] is not None]
    span = base.chart(whole, KEPT).mark_rule(strokeWidth=2.2)
    spans = [span.encode(x=alt.X("low:Q"), x2="high:Q", y=y, color=_colour())] if whole else []  # none of exact counts
    drawn = alt.layer(
        held.encode(x=alt.X("from:Q", title=title, scale=scale), x2="to:Q", y=y),
        _neutral({"ratios": 1.0, "shares": 0.5}.get(measure, 0.0), x),
        *spans,
        base.chart(rows, KEPT)
        .mark_point(size=90, filled=True, opacity=1)
        .encode(x=x, y=y, color=_colour(), shape=_shape(), tooltip=_tips(title)),
    )
    said = " ".join(_said(row) for row in rows)
    heading = f"Claims: estimate and interval against what each claim allows ({measure})"
    return base.finish(drawn, heading, said, 30 * len({row["place"] for row in rows}) + 20)


def _bounded(row: Row) -> bool:
    return row["from"] is not None or row["to"] is not None


def closed(value: float | None, end: float) -> float:
    """The end of a range, or where the axis ends for one that is open."""
    return end if value is None else value


def _neutral(value: float, x: alt.X) -> alt.Chart:
    rule = alt.Chart(alt.InlineData(values=[{"estimate": value}])).mark_rule(strokeDash=[4, 3], color="#7F7F7F")
    made: alt.Chart = rule.encode(x=x)
    return made


def _colour() -> alt.Color:
    scale = alt.Scale(domain=list(LOOKS), range=[colour for colour, _ in LOOKS.values()])
    return alt.Color("verdict:N", scale=scale, legend=alt.Legend(title=None))


def _shape() -> alt.Shape:
    scale = alt.Scale(domain=list(LOOKS), range=[shape for _, shape in LOOKS.values()])
    return alt.Shape("verdict:N", scale=scale, legend=alt.Legend(title=None))


def _tips(title: str) -> list[alt.Tooltip]:
    shown = [alt.Tooltip("place:N", title="claim"), alt.Tooltip("verdict:N"), base.tip("estimate", title, ".4~g")]
    shown += [base.tip("low", "from", ".4~g"), base.tip("high", "to", ".4~g"), base.tip("level", "level", ".0%")]
    return [*shown, base.tip("pairs", "pairs", "d")]


def _said(row: Row) -> str:
    span = f" ({row['low']:.3g} to {row['high']:.3g})" if row["low"] is not None and row["high"] is not None else ""
    ends = [f"{word} {row[end]:g}" for word, end in (("from", "from"), ("up to", "to")) if row[end] is not None]
    allowed = f"; the claim allows {' '.join(ends)}" if ends else ""
    exact = ", exact" if row["exact"] else ""
    return f"{row['place']}: {row['estimate']:.3g}{exact}{span}{allowed}; {row['verdict']}."
