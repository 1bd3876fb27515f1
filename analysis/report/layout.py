"""The report's tables: each is one function of the contents that says name, section and columns; present means shown.

In a section tables stand in the order of the functions here, file after file; then come those of other packages, whose
modules entry points `finebench.tables` name, and of plugins.
"""

from collections.abc import Callable
from dataclasses import replace
from inspect import isfunction
from types import ModuleType

from finebench.analysis.report import layout_costs, layout_scores, layout_variance
from finebench.analysis.report.contents import Contents
from finebench.analysis.tables.table import Table
from finebench.bench.util.doors import outside
from finebench.bench.util.errors import StudyError

Maker = Callable[[Contents], Table]


def makers() -> tuple[Maker, ...]:
    """What makes the tables, in their order."""
    modules = (layout_scores, layout_variance, layout_costs, *outside("finebench.tables"))
    return tuple(make for module in modules for make in _of(module))


def _of(module: ModuleType) -> list[Maker]:
    """The functions of a module that return a table, in their order."""
    own = [one for one in vars(module).values() if isfunction(one) and one.__module__ == module.__name__]
    return [one for one in own if one.__annotations__.get("return") in (Table, "Table")]


def tables(contents: Contents) -> dict[str, Table]:
    """Every table of the report by name."""
    made = [make(contents) for make in makers()]
    if contents.frames["runs"]["budget"].nunique() == 1:
        # one budget for all rows stands in the protocol
        made = [replace(table, columns=tuple(c for c in table.columns if c.key != "budget_label")) for table in made]
    named = {table.name: table for table in made}
    if len(named) < len(made):
        twice = sorted(name for name in named if sum(table.name == name for table in made) > 1)
        raise StudyError(f"two tables of the report are called {' and '.join(twice)}; rename one of each")
    return named
