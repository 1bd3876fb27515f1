"""The order of the report: which tables and figures stand in which section, for the page and the Markdown file alike.

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


COSTS = ("train-seconds", "train-flops", "peak-memory-bytes", "delta-bytes", "trainable-params", "energy-joules")

SECTIONS: tuple[Section, ...] = (
    Section("answer", "Answer", "Answer", (Block(("overview",), "answer"),)),
    Section(
        "claims", "Claims, one by one", "Claims",
        (Block(("claims",), "claims"), Block(table="claims_by_task", folded=True)),
    ),
    Section(
        "scores", "Scores", "Scores",
        (
            Block(("score-by-fraction",), "scores"),
            Block(("per-seed",), "per_seed", folded=True),
            Block(table="variants"),
        ),
    ),
    Section(
        "variance", "Variance: how sure, and what the noise is made of", "Variance",
        (
            Block(("pair-differences", "forest", "superiority"), "pairs"),
            Block(("aggregates", "profiles", "ranks"), "aggregates"),
            Block(table="improvements", folded=True),
            Block(table="profiles", folded=True),
            Block(table="ranks", folded=True),
            Block(table="power"),
            Block(("variance-shares",), "variance_shares"),
            Block(("disagreement",), "stability"),
            Block(table="robustness"),
        ),
    ),
    Section(
        "tuning", "Tuning: what the choice of hyperparameters does", "Tuning",
        (
            Block(("score-by-lr",), "sensitivity", folded=True),
            Block(table="plateau"),
            Block(("best-of", "best-of-seconds"), "best_of", folded=True),
            Block(table="fairness"),
            Block(table="ledger"),
        ),
    ),
    Section(
        "efficiency", "Efficiency: what it costs", "Efficiency",
        (
            Block(table="efficiency"),
            Block(table="ratios"),
            Block(tuple(f"pareto-{cost}" for cost in COSTS), "fronts", folded=True),
            Block(table="reach"),
            Block(("anytime", "anytime-seconds", "anytime-flops"), "curves", folded=True),
            Block(table="crossovers"),
        ),
    ),
    Section(
        "runs", "Every run", "Runs",
        (
            Block(table="cells", folded=True),
            Block(table="runs"),
            Block(table="origins", folded=True),
            Block(table="failures"),
        ),
    ),
    Section("protocol", "Protocol and versions", "Protocol"),
    Section("caveats", "Caveats", "Caveats"),
)  # fmt: skip

WRITTEN = ("answer", "runs", "protocol", "caveats")
"""Sections that have words of their own: there without any table."""


def sections(order: Sequence[Section], tables: Mapping[str, Table], kinds: Iterable[str]) -> list[Section]:
    """The sections of `order` that have something to show, with the blocks that do.

    A table without rows is left out, unless that tells something. A table or a kind of figure that no section names
    comes last under "More", so that nothing that was made is lost.
    """
    drawn = set(kinds)
    made = [replace(one, blocks=tuple(_present(one.blocks, tables, drawn))) for one in order]
    named = {block.table for one in order for block in one.blocks}
    shown = {kind for one in order for block in one.blocks for kind in block.figures}
    rest = [Block(table=name) for name, table in tables.items() if name not in named and not table.frame.empty]
    rest += [Block((kind,)) for kind in sorted(drawn - shown)]
    if rest:
        made.insert(-2, Section("more", "More", "More", tuple(rest)))
    return [one for one in made if one.blocks or one.id in WRITTEN]


def _present(blocks: Sequence[Block], tables: Mapping[str, Table], drawn: set[str]) -> Iterator[Block]:
    for block in blocks:
        table = block.table if block.table in tables else None
        if table is not None and tables[table].frame.empty and not tables[table].empty_tells:
            table = None
        kinds = tuple(kind for kind in block.figures if kind in drawn)
        if table is not None or kinds:
            yield replace(block, figures=kinds, table=table)
