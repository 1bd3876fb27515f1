"""The report's tables: each is one function of the contents that says name, section and columns; present means shown.

In a section tables stand in the order of the functions here, file after file; then come those of other packages, which
entry points `finebench.tables` name.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from inspect import isfunction
from types import ModuleType

from finebench.analysis.report import layout_costs, layout_scores, layout_variance
from finebench.analysis.report.contents import Contents
from finebench.analysis.tables.table import Table
from finebench.bench.util.doors import by_name, entry_points

GROUP = "finebench.tables"

Maker = Callable[[Contents], Table]


@cache
def makers() -> tuple[Maker, ...]:
    """What makes the tables, in their order."""
    own = [make for module in (layout_scores, layout_variance, layout_costs) for make in _of(module)]
    return (*own, *entry_points(GROUP))


def _of(module: ModuleType) -> list[Maker]:
    """The functions of a module that return a table, in their order."""
    return [one for one in vars(module).values() if isfunction(one) and one.__annotations__.get("return") is Table]


def tables(contents: Contents) -> dict[str, Table]:
    """Every table of the report by name."""
    made = [make(contents) for make in makers()]
    if contents.frames["runs"]["budget"].nunique() == 1:
        # one budget for all rows stands in the protocol
        made = [replace(table, columns=tuple(c for c in table.columns if c.key != "budget_label")) for table in made]
    return by_name("tables", ((table.name, table) for table in made))
