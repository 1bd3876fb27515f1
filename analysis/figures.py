"""The figures, one definition each in a declarative grammar: SVG and PNG files, and the same chart on the page.

Every figure is of one task and budget. Lines stop at incomplete cells: those stand alone as hollow points.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import pandas as pd

from analysis.formats import plain
from analysis.frames import records
from analysis.palette import marks

WIDTH, HEIGHT = 430, 280
"""Pixels of the plotting area in print; on the page the width follows the window."""

PICK = alt.selection_point(name="pick", fields=["method"], bind="legend")
"""A click on the legend picks methods (shift: several); the others fade."""

SHOWN = alt.condition(PICK, alt.value(1.0), alt.value(0.12))

WHOLE = alt.condition("datum.complete", alt.value(1.0), alt.value(0.0))
"""Incomplete cells are hollow."""

FIGURE_KINDS = ("score-by-fraction", "score-by-method", "score-by-time", "score-by-lr", "anytime")

Rows = list[dict[str, Any]]

KEPT = ("method", "score", "low", "high", "n", "complete", "setting", "fraction", "x", "lr", "step", "train_seconds")
"""What a chart carries of its rows: what it draws, and what it says on hover."""


@dataclass(frozen=True)
class Figure:
    """A chart with its title and a text alternative that gives its numbers in words."""

    name: str
    kind: str
    title: str
    description: str
    spec: dict[str, Any]


@dataclass(frozen=True)
class Look:
    """What all charts of a report share: the methods, in a fixed order with fixed marks."""

    methods: tuple[str, ...]
    several_budgets: bool

    def where(self, rows: Rows) -> str:
        """The task; and the budget, where the study has several."""
        return f"{rows[0]['task']} ({rows[0]['budget_label']})" if self.several_budgets else str(rows[0]["task"])

    def colour(self) -> alt.Color:
        """Colour by method, with the legend."""
        values = marks(self.methods)
        scale = alt.Scale(domain=list(self.methods), range=[values[m][0] for m in self.methods])
        return alt.Color("method:N", scale=scale, legend=alt.Legend(title=None))

    def shape(self) -> alt.Shape:
        """Shape by method; its legend merges with the colour's."""
        values = marks(self.methods)
        scale = alt.Scale(domain=list(self.methods), range=[values[m][1] for m in self.methods])
        return alt.Shape("method:N", scale=scale, legend=alt.Legend(title=None))


def figures(tables: dict[str, pd.DataFrame], methods: Sequence[str]) -> list[Figure]:
    """All figures that the frames `scores`, `efficiency`, `sensitivity` and `curves` have rows for."""
    look = Look(tuple(methods), tables["scores"]["budget"].nunique() > 1)
    several = tables["scores"].groupby(["task", "budget"])["fraction"].nunique().max() > 1
    first = (by_fraction, "score-by-fraction") if several else (by_method, "score-by-method")
    wanted: list[tuple[Callable[[Rows, Look], Figure], str, pd.DataFrame]] = [
        (first[0], first[1], tables["scores"]),
        (by_time, "score-by-time", _with_time(tables)),
        (by_lr, "score-by-lr", _top(tables["sensitivity"])),
        (anytime, "anytime", _top(tables["curves"])),
    ]
    return [figure for draw, kind, frame in wanted for figure in _per_panel(draw, kind, frame, look)]


def _per_panel(draw: Callable[[Rows, Look], Figure], kind: str, frame: pd.DataFrame, look: Look) -> Iterator[Figure]:
    if frame.empty:
        return
    scored = frame[frame["score"].notna()]
    for number, (_, part) in enumerate(scored.groupby(["task", "budget"], sort=True), start=1):
        rows: Rows = [_safe(row) for row in records(part.astype(object).where(part.notna(), None))]
        made = draw(rows, look)
        yield Figure(f"{kind}-{number:02d}-{slug(rows[0]['task'])}", kind, made.title, made.description, made.spec)


def _safe(row: dict[str, Any]) -> dict[str, Any]:
    """Axis titles end up inside Vega expressions, where quotes, backslashes and line ends would be read as code."""
    metric = plain(str(row["metric"])).translate({ord(c): "'" for c in '"\\`'})
    return row | {"metric": metric, "task": plain(str(row["task"]))}


def slug(text: str) -> str:
    """A file name's worth of a task's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in text)[:40]


def _top(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each task's largest fraction."""
    if frame.empty:
        return frame
    return frame[frame["fraction"] == frame.groupby(["task", "budget"])["fraction"].transform("max")]


def _with_time(tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    costs = tables["efficiency"]
    if costs.empty or costs["train_seconds"].isna().all():
        return pd.DataFrame()
    # one point per method: where several devices were used, the first by name
    keys = ["task", "fraction", "budget", "method"]
    known = costs[costs["train_seconds"].notna()].drop_duplicates(keys)
    return tables["scores"].drop(columns="train_seconds").merge(known[[*keys, "train_seconds", "device"]], on=keys)


def by_fraction(rows: Rows, look: Look) -> Figure:
    """Score against data fraction, a line per method with its interval over seeds."""
    fractions = sorted({row["fraction"] for row in rows})
    for row in rows:
        row["x"] = row["fraction"] * _aside(look.methods, row["method"], fractions)
    domain = [fractions[0] * 0.9, fractions[-1] * 1.1]
    axis = alt.Axis(values=fractions, format=".3~%", title="share of the training data", grid=False, labelOverlap=True)
    x = alt.X("x:Q", axis=axis, scale=alt.Scale(type="log", domain=domain, nice=False))
    whole = [row for row in rows if row["complete"]]
    chart = alt.layer(
        _line(whole, x, look),
        _interval(rows, x, look),
        _points(rows, x, look, [_tip("fraction", "fraction", ".3~%")]),
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} against training data"
    return _finish(chart, title, _in_words(rows, lambda row: f"{row['fraction']:.3g}"))


def _aside(methods: Sequence[str], method: str, fractions: Sequence[float]) -> float:
    """A factor that sets a method's points slightly aside on a log axis, so that intervals do not hide each other."""
    gaps = [math.log(b / a) for a, b in itertools.pairwise(fractions)]
    step = min(0.025, 0.5 * min(gaps, default=1.0) / max(1, len(methods)))
    return math.exp(step * (methods.index(method) - (len(methods) - 1) / 2))


def by_method(rows: Rows, look: Look) -> Figure:
    """Score per method where the study has one fraction: points with intervals."""
    y = alt.Y("method:N", title=None, sort=list(look.methods))
    x = alt.X("score:Q", title=f"{rows[0]['metric']}", scale=alt.Scale(zero=False, padding=8))
    span = _base([row for row in rows if row["low"] is not None])
    hide, shape = look.colour().legend(None), look.shape().legend(None)
    points = _base(rows).mark_point(size=90, filled=False, strokeWidth=1.6)
    chart = alt.layer(
        span.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=rows[0]["metric"]), x2="high:Q", y=y, color=hide),
        points.encode(x=x, y=y, color=hide, fill=hide, fillOpacity=WHOLE, shape=shape, tooltip=_tips()),
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} per method"
    return _finish(chart, title, _in_words(rows, lambda row: f"{row['fraction']:.3g}"))


def by_time(rows: Rows, look: Look) -> Figure:
    """Score against train time at the largest fraction, a point per method."""
    times = [row["train_seconds"] for row in rows]
    kind: Literal["log", "linear"] = "log" if max(times) > 8 * min(times) > 0 else "linear"
    scale = alt.Scale(type=kind, nice=False, padding=24, zero=False)
    axis = alt.Axis(tickCount=5, labelOverlap=True, format="~s")
    x = alt.X("train_seconds:Q", title="median train time (s, exclusive runs)", scale=scale, axis=axis)
    chart = alt.layer(
        _interval(rows, x, look), _points(rows, x, look, [_tip("train_seconds", "train seconds", ",.3~r")])
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} against train time"
    return _finish(chart, title, _in_words(rows, lambda row: f"{row['train_seconds']:.3g} s"))


def by_lr(rows: Rows, look: Look) -> Figure:
    """Score against learning rate at the largest fraction, a line per method; the chosen one is ringed."""
    tried = sorted({row["lr"] for row in rows})
    axis = alt.Axis(values=tried, format=".2~e", labelOverlap=True, grid=False)
    x = alt.X("lr:Q", title="learning rate", scale=alt.Scale(type="log", nice=False, padding=18), axis=axis)
    ring = _base([row for row in rows if row["chosen"]]).mark_point(size=260, strokeWidth=1.5, shape="circle")
    chart = alt.layer(
        _line([row for row in rows if row["complete"]], x, look),
        _interval(rows, x, look),
        ring.encode(x=x, y=_y(rows), color=look.colour(), opacity=SHOWN),
        _points(rows, x, look, [_tip("lr", "learning rate", ".3~g")]),
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} against learning rate"
    return _finish(chart, title, _in_words(rows, lambda row: f"{row['lr']:g}"))


def anytime(rows: Rows, look: Look) -> Figure:
    """The score had training stopped at each step, inside the runs of the chosen configuration."""
    x = alt.X("step:Q", title="optimiser step")
    span = _base([row for row in rows if row["low"] is not None])
    chart = alt.layer(
        span.mark_area(opacity=0.13).encode(
            x=x, y=alt.Y("low:Q", title=rows[0]["metric"]), y2="high:Q", color=look.colour()
        ),
        _line(rows, x, look),
        _points([row | {"complete": True} for row in rows], x, look, [_tip("step", "step", ",")], size=36),
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} had training stopped here"
    last = {row["method"]: row for row in rows}
    return _finish(chart, title, _in_words(list(last.values()), lambda row: f"step {row['step']}"))


def _base(rows: Rows) -> alt.Chart:
    kept = [{key: row[key] for key in KEPT if row.get(key) is not None} for row in rows]
    return alt.Chart(alt.InlineData(values=kept))


def _y(rows: Rows) -> alt.Y:
    return alt.Y("score:Q", title=rows[0]["metric"], scale=alt.Scale(zero=False, padding=8))


def _line(rows: Rows, x: alt.X, look: Look) -> alt.Chart:
    scale = alt.Scale(zero=False, padding=8)
    y = alt.Y("score:Q", title=rows[0]["metric"] if rows else None, scale=scale)
    made: alt.Chart = _base(rows).mark_line(strokeWidth=1.8).encode(x=x, y=y, color=look.colour(), opacity=SHOWN)
    return made


def _interval(rows: Rows, x: alt.X, look: Look) -> alt.Chart:
    span = _base([row for row in rows if row["low"] is not None])
    low = alt.Y("low:Q", title=rows[0]["metric"], scale=alt.Scale(zero=False, padding=8))
    rule = span.mark_rule(strokeWidth=1.6)
    made: alt.Chart = rule.encode(x=x, y=low, y2="high:Q", color=look.colour(), opacity=SHOWN)
    return made


def _points(rows: Rows, x: alt.X, look: Look, tips: list[alt.Tooltip], size: int = 80) -> alt.Chart:
    mark = _base(rows).mark_point(size=size, filled=False, strokeWidth=1.6).add_params(PICK)
    marked = mark.encode(x=x, y=_y(rows), color=look.colour(), shape=look.shape(), tooltip=[*_tips(), *tips])
    made: alt.Chart = marked.encode(fill=look.colour(), fillOpacity=WHOLE, opacity=SHOWN)
    return made


def _tip(key: str, title: str, form: str) -> alt.Tooltip:
    return alt.Tooltip(f"{key}:Q", title=title, format=form)


def _tips() -> list[alt.Tooltip]:
    shown = [alt.Tooltip("method:N", title="method"), _tip("score", "score", ".4f")]
    shown += [_tip("low", "95 % from", ".4f"), _tip("high", "95 % to", ".4f"), _tip("n", "seeds", "d")]
    return [*shown, alt.Tooltip("setting:N", title="setting")]


def _in_words(rows: Rows, at: Callable[[dict[str, Any]], str]) -> str:
    """The figure's numbers as a sentence per method: what a screen reader reads in its place."""
    lines: dict[str, list[str]] = {}
    for row in rows:
        span = f" ({row['low']:.3f} to {row['high']:.3f})" if row["low"] is not None else ""
        hole = "" if row.get("complete", True) else ", incomplete"
        lines.setdefault(row["method"], []).append(f"{row['score']:.3f}{span}{hole} at {at(row)}")
    return " ".join(f"{method}: {'; '.join(parts)}." for method, parts in lines.items())


def _finish(chart: alt.LayerChart | alt.FacetChart, title: str, description: str) -> Figure:
    sized = chart.properties(width=WIDTH, height=HEIGHT, title=title, description=f"{title}. {description}")
    return Figure("", "", title, description, sized.to_dict(validate=False))
