"""The order of the report: its sections, and in each the tables that name it, for the page and the Markdown file alike.

Answer first; then scores, variance, tuning, efficiency, every run; then protocol, versions and caveats.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from finebench.analysis.tables.table import Table


@dataclass(frozen=True)
class Block:
    """Figures, by kind, and a table beneath; `folded` puts the table behind a line to open."""

    figures: tuple[str, ...] = ()
    table: str | None = None
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A section with its anchor, its heading and its short name in the page's navigation."""

    id: str
    title: str
    nav: str
    blocks: tuple[Block, ...] = ()


SECTIONS: tuple[Section, ...] = (
    Section("answer", "Answer", "Answer"),
    Section("claims", "Claims, one by one", "Claims"),
    Section("scores", "Scores", "Scores"),
    Section("variance", "Variance: how sure, and what the noise is made of", "Variance"),
    Section("tuning", "Tuning: what the choice of hyperparameters does", "Tuning"),
    Section("efficiency", "Efficiency: what it costs", "Efficiency"),
    Section("runs", "Every run", "Runs"),
    Section("protocol", "Protocol and versions", "Protocol"),
    Section("caveats", "Caveats", "Caveats"),
)

WRITTEN = ("answer", "runs", "protocol", "caveats")
"""Sections that have words of their own: there without any table."""


def sections(order: Sequence[Section], tables: Mapping[str, Table], kinds: Iterable[str]) -> list[Section]:
    """The sections of `order` that have something to show, with the blocks of their tables, in the order of `tables`.

    A table without rows is left out, unless that tells something. A table that names another section, or a kind of
    figure that no table names, comes last under "More", so that nothing that was made is lost.
    """
    drawn = set(kinds)
    places = {one.id for one in order}
    made = [replace(one, blocks=tuple(_present(_blocks(one.id, tables), tables, drawn))) for one in order]
    shown = {kind for table in tables.values() for kind in table.figures}
    rest = [Block(table.figures, name) for name, table in tables.items() if table.section not in places]
    rest = [*_present(rest, tables, drawn), *(Block((kind,)) for kind in sorted(drawn - shown))]
    if rest:
        made.insert(-2, Section("more", "More", "More", tuple(rest)))
    return [one for one in made if one.blocks or one.id in WRITTEN]


def _blocks(section: str, tables: Mapping[str, Table]) -> list[Block]:
    return [Block(one.figures, name, one.folded) for name, one in tables.items() if one.section == section]


def _present(blocks: Sequence[Block], tables: Mapping[str, Table], drawn: set[str]) -> Iterator[Block]:
    for block in blocks:
        table = block.table if block.table in tables else None
        if table is not None and tables[table].frame.empty and not tables[table].empty_tells:
            table = None
        kinds = tuple(kind for kind in block.figures if kind in drawn)
        if table is not None or kinds:
            yield replace(block, figures=kinds, table=table)
