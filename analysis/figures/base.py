"""What every figure shares: the chart with its words, marks per method, axes, and guards against text from data.

Lines stop at incomplete cells: those stand alone as hollow points.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd

from finebench.analysis.figures.palette import marks
from finebench.analysis.load.frames import finite, records
from finebench.analysis.tables.formats import plain

WIDTH, HEIGHT = 430, 280
"""Pixels of the plotting area in print; on the page the width follows the window."""

PICK = alt.selection_point(name="pick", fields=["method"], bind="legend")
"""A click on the legend picks methods (shift: several); the others fade."""

SHOWN = alt.condition(PICK, alt.value(1.0), alt.value(0.12))

ZOOM = alt.selection_interval(
    name="zoom",
    bind="scales",
    translate="[pointerdown[event.pointerType === 'mouse'], window:pointerup] > window:pointermove!",
    zoom="wheel![event.ctrlKey || event.metaKey]",
)
"""Drag to move, control and wheel to zoom, double click to go back; the wheel alone and a finger scroll the page."""

WHOLE = alt.condition("datum.complete", alt.value(1.0), alt.value(0.0))
"""Incomplete cells are hollow."""

Row = dict[str, Any]
Rows = list[Row]

KEPT = ("method", "task", "score", "low", "high", "n", "complete", "setting", "fraction", "x", "lr", "step", "cost")
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
class Style:
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


def panels(
    draw: Callable[[Rows, Style], Figure], kind: str, frame: pd.DataFrame, look: Style, value: str = "score"
) -> Iterator[Figure]:
    """A figure per task and budget of the rows that have a `value`."""
    if frame.empty:
        return
    scored = frame[frame[value].notna()]
    for number, (_, part) in enumerate(scored.groupby(["task", "budget"], sort=True), start=1):
        rows = safe_rows(part)
        yield named(draw(rows, look), f"{kind}-{number:02d}-{slug(rows[0]['task'])}", kind)


def named(figure: Figure, name: str, kind: str) -> Figure:
    """The figure under a file name."""
    return Figure(name, kind, figure.title, figure.description, figure.spec)


def safe_rows(frame: pd.DataFrame) -> Rows:
    """Rows as plain dicts, None where there is no value.

    Axis titles end up inside Vega expressions, where quotes, backslashes and line ends would be read as code: those of
    metric names are replaced.
    """
    known = finite(frame)
    return [_safe(row) for row in records(known.astype(object).where(known.notna(), None))]


def _safe(row: Row) -> Row:
    made = dict(row)
    for key in ("metric", "task", "budget_label"):
        if made.get(key) is not None:
            made[key] = plain(str(made[key])).translate({ord(c): "'" for c in '"\\`'} if key == "metric" else {})
    return made


def slug(text: str) -> str:
    """A file name's worth of a task's name."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in text)[:40]


def top(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows of each task's and budget's largest fraction."""
    if frame.empty:
        return frame
    return frame[frame["fraction"] == frame.groupby(["task", "budget"])["fraction"].transform("max")]


def chart(rows: Rows, keep: Iterable[str] = KEPT) -> alt.Chart:
    """A chart that carries the named keys of the rows, those without a value left out."""
    kept = [{key: row[key] for key in keep if row.get(key) is not None} for row in rows]
    return alt.Chart(alt.InlineData(values=kept))


def score_axis(title: str | None, key: str = "score") -> alt.Y:
    """The score, upward; the axis does not start at zero."""
    return alt.Y(f"{key}:Q", title=title, scale=alt.Scale(zero=False, padding=8))


def line(rows: Rows, x: alt.X, look: Style, keep: Iterable[str] = KEPT) -> alt.Chart:
    """A line per method through complete points."""
    title = rows[0]["metric"] if rows else None
    base = chart(rows, keep).mark_line(strokeWidth=1.8)
    made: alt.Chart = base.encode(x=x, y=score_axis(title), color=look.colour(), opacity=SHOWN)
    return made


def interval(rows: Rows, x: alt.X, look: Style) -> alt.Chart:
    """Vertical intervals where there are any."""
    rule = chart([row for row in rows if row["low"] is not None]).mark_rule(strokeWidth=1.6)
    low = score_axis(rows[0]["metric"], "low")
    made: alt.Chart = rule.encode(x=x, y=low, y2="high:Q", color=look.colour(), opacity=SHOWN)
    return made


def band(rows: Rows, x: alt.X, look: Style) -> alt.Chart:
    """Intervals as a pale band per method."""
    area = chart([row for row in rows if row["low"] is not None]).mark_area(opacity=0.13)
    made: alt.Chart = area.encode(x=x, y=score_axis(rows[0]["metric"], "low"), y2="high:Q", color=look.colour())
    return made


def points(
    rows: Rows, x: alt.X, look: Style, tips: list[alt.Tooltip], size: int = 80, keep: Iterable[str] = KEPT
) -> alt.Chart:
    """A mark per row, hollow where the cell is incomplete; hover tells its numbers, the legend picks methods."""
    mark = chart(rows, keep).mark_point(size=size, filled=False, strokeWidth=1.6).add_params(PICK, ZOOM)
    axis = score_axis(rows[0]["metric"])
    marked = mark.encode(x=x, y=axis, color=look.colour(), shape=look.shape(), tooltip=[*score_tips(), *tips])
    made: alt.Chart = marked.encode(fill=look.colour(), fillOpacity=WHOLE, opacity=SHOWN)
    return made


def tip(key: str, title: str, form: str) -> alt.Tooltip:
    """A number that hovering shows."""
    return alt.Tooltip(f"{key}:Q", title=title, format=form)


def score_tips() -> list[alt.Tooltip]:
    """What hovering over a score shows."""
    shown = [alt.Tooltip("method:N", title="method"), tip("score", "score", ".4f")]
    shown += [tip("low", "95 % from", ".4f"), tip("high", "95 % to", ".4f"), tip("n", "seeds", "d")]
    return [*shown, alt.Tooltip("setting:N", title="configuration")]


def in_words(rows: Rows, at: Callable[[Row], str]) -> str:
    """The figure's numbers as a sentence per method: what a screen reader reads in its place."""
    lines: dict[str, list[str]] = {}
    for row in rows:
        hole = "" if row.get("complete", True) else ", incomplete"
        lines.setdefault(row["method"], []).append(f"{number(row, 'score')}{hole} at {at(row)}")
    return " ".join(f"{method}: {'; '.join(parts)}." for method, parts in lines.items())


def number(row: Row, key: str, form: str = ".3f") -> str:
    """A value with its interval in words, e.g. "0.812 (0.801 to 0.823)", or "3.1 (1.2 and above)" of an open one."""
    low, high = (None if row.get(end) is None else f"{row[end]:{form}}" for end in ("low", "high"))
    both = f"{low} to {high}" if low and high else f"{low} and above" if low else f"{high} and below" if high else ""
    return f"{row[key]:{form}} ({both})" if both else f"{row[key]:{form}}"


def finish(layers: alt.LayerChart | alt.FacetChart, title: str, description: str, height: int = HEIGHT) -> Figure:
    """The figure of a chart, `height` in pixels."""
    sized = layers.properties(width=WIDTH, height=height, title=title, description=f"{title}. {description}")
    return Figure("", "", title, description, sized.to_dict(validate=False))
