"""Pages and Markdown from sections, tables and figures; the environments escape every text from data."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from finebench.analysis.figures.base import Figure
from finebench.analysis.figures.palette import config
from finebench.analysis.load.words import missing
from finebench.analysis.report.sections import Section, sections
from finebench.analysis.report.statics import javascript
from finebench.analysis.tables.formats import markdown_text, plain, to_markdown
from finebench.analysis.tables.table import Table

TEMPLATES = Path(__file__).parent / "templates"

SHOWN_RUNS = 2000
"""Rows of a table that the page holds; the files hold all of them."""

SHOWN_FIGURES = 18
"""Figures of one kind that the page holds; the folder holds all of them."""

FILTERED_FROM = 30
"""Rows above which a table scrolls in a frame of its own and has a filter."""

MARKS = {
    "done": "●", "collapsed": "▲", "failed": "✕", "pending": "○", "empty": "·",
    "supported": "✓", "refuted": "✗", "inconclusive": "?",
}  # fmt: skip
"""Signs of the cell map and of verdicts, so that both can be read without colour."""

STATES = {
    "done": "done",
    "collapsed": "all collapsed",
    "failed": "some failed",
    "pending": "pending",
    "empty": "not planned",
}

DARK = config(ink="#e4e7eb", faint="#3a4048")


@dataclass(frozen=True)
class Drawn:
    """A figure with its files' content."""

    figure: Figure
    svg: str
    png: bytes


@dataclass(frozen=True)
class TableCell:
    """One shown table cell; `value` sorts it where it is a number."""

    text: str
    value: str
    kind: str


def html(words: Mapping[str, Any], order: tuple[Section, ...], tables: dict[str, Table], drawn: list[Drawn]) -> str:
    """The page: `words` for the template, sections in their `order`; the chart library is inline, nothing is loaded."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    inline = {"library": Markup(javascript())} | {
        key: Markup((TEMPLATES / key).read_text("utf-8")) for key in ("style.css", "report.js")
    }
    pictures = by_kind(drawn)
    held = [one.figure for some in pictures.values() for one in some[:SHOWN_FIGURES]]
    data = [{"id": figure.name, "spec": figure.spec} for figure in held]
    environment.filters |= {"plain": plain, "base64": lambda text: b64encode(text.encode()).decode()}
    return environment.get_template("index.html").render(
        **words, sections=sections(order, tables, pictures), tables=tables, pictures=pictures, inline=inline,
        marks=MARKS, states=STATES, cells=_cells, shown_runs=SHOWN_RUNS, shown_figures=SHOWN_FIGURES,
        filtered_from=FILTERED_FROM, charts=_script_json({"figures": data, "light": config(), "dark": DARK}),
    )  # fmt: skip


def markdown(words: Mapping[str, Any], order: tuple[Section, ...], tables: dict[str, Table], drawn: list[Drawn]) -> str:
    """The same as Markdown, with its figures as links to their SVG files."""

    def escape(value: Any) -> Any:
        return value if isinstance(value, Markup) else markdown_text(str(value))

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=False, finalize=escape, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    rendered = {name: Markup(to_markdown(_cut(table))) for name, table in tables.items()}
    pictures = by_kind(drawn)
    links = {
        kind: [(one.figure, Markup(f"figures/{one.figure.name}.svg")) for one in some]
        for kind, some in pictures.items()
    }
    shown = sections(order, tables, pictures)
    return environment.get_template("report.md").render(
        **words, sections=shown, tables=tables, rendered=rendered, links=links
    )


def by_kind(drawn: list[Drawn]) -> dict[str, list[Drawn]]:
    """Figures by kind, in their order."""
    made: dict[str, list[Drawn]] = {}
    for one in drawn:
        made.setdefault(one.figure.kind, []).append(one)
    return made


def _cut(table: Table) -> Table:
    """The rows that a page or a Markdown file holds."""
    if len(table.frame) <= SHOWN_RUNS:
        return table
    note = f"{table.note} The first {SHOWN_RUNS:,} of {len(table.frame):,} rows; all are in tables/{table.name}.csv."
    return Table(table.name, table.title, note, table.frame.head(SHOWN_RUNS), table.columns)


def _cells(table: Table) -> list[list[TableCell]]:
    """The shown cells of a table, for the page."""
    kinds = [column.kind for column in table.shown]
    frame = table.frame[[column.key for column in table.shown]].head(SHOWN_RUNS)
    values = frame.astype(object).itertuples(index=False, name=None)
    return [
        [_cell(value, text, kind) for value, text, kind in zip(row, texts, kinds, strict=True)]
        for row, texts in zip(values, table.rows(), strict=False)
    ]


def _cell(value: Any, text: str, kind: str) -> TableCell:
    numeric = kind not in ("text", "prose")
    exact = "" if missing(value) or not numeric else repr(float(value))
    return TableCell(text, exact, "num" if numeric else kind)


def _script_json(value: Any) -> Markup:
    """JSON that can stand inside a script element, whatever text it holds."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
