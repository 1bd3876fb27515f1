"""What `compare` prints: changed scores and costs of two results folders, or all of it as JSON."""

from typing import Any

from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from finebench.bench.cli.commands import tell_missing
from finebench.bench.cli.terminal.console import make_console, print_json

SHOWN_ROWS = 60
"""Rows of a table that the terminal shows; `--out` writes all."""

CHANGES = (
    *("task", "fraction", "budget_label", "method", "score_a", "score_b", "difference", "low", "high"),
    *("p_holm", "change", "pairs", "seeds_a", "seeds_b"),
)
METHOD_COSTS = ("method", "pairs", "train_seconds", "train_seconds_low", "train_seconds_high", "peak_memory_bytes")


def compare_command(a: str, b: str, out: str | None, as_json: bool) -> int:
    """Compare, print, and write files where `out` says so; returns the exit code."""
    from finebench.analysis.compare.report import write_comparison

    made = write_comparison(a, b, out)
    for results in (a, b):
        tell_missing(results)
    if as_json:
        print_json(made.document())
        return 0
    console = make_console()
    console.print(Text(f"A is {a}\nB is {b}"), soft_wrap=True)
    for name, keys in (("changes", CHANGES), ("method_costs", METHOD_COSTS)):
        _show(console, made.tables[name], keys)
    for sentence in made.findings:
        console.print(Text(sentence), soft_wrap=True)
    if made.path is not None:
        console.print(Text(f"comparison: {made.path}"), soft_wrap=True)
    return 0


def _show(console: Console, table: Any, keys: tuple[str, ...]) -> None:
    """One of the comparison's tables, the columns named by `keys`."""
    if table.frame.empty:
        return
    shown = [(i, column) for i, column in enumerate(table.shown) if column.key in keys]
    made = RichTable(box=None, header_style="bold", title=table.title, title_justify="left")
    for _, column in shown:
        made.add_column(column.label, justify="right" if column.numeric else "left")
    for row in list(table.rows())[:SHOWN_ROWS]:
        made.add_row(*(Text(row[i]) for i, _ in shown))
    console.print(made)
    if len(table.frame) > SHOWN_ROWS:
        console.print(Text(f"… and {len(table.frame) - SHOWN_ROWS} more rows"))
