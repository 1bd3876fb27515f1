"""How many trials and seeds were planned, from plan.json; without one, from what the rows themselves show."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from finebench.analysis.load.frames import groups

Key = tuple[str, float, str, str]
"""(task, fraction, budget, method): one cell, in the order of `runs.CELL`."""


def key_of(row: Mapping[str, Any]) -> Key:
    """The cell that a row of a frame is of."""
    return (row["task"], row["fraction"], row["budget"], row["method"])


@dataclass(frozen=True)
class Planned:
    """Planned trials of one cell and stage, and configurations among which they are shared (None: not told)."""

    trials: int
    configurations: int | None

    @property
    def seeds(self) -> int | None:
        """Seeds per configuration."""
        return self.trials // self.configurations if self.configurations else None


class Expectation:
    """What ought to be there. `known` is False where the folder has no plan."""

    def __init__(self, plan: dict[str, Any] | None, runs: pd.DataFrame) -> None:
        self.known = plan is not None
        self.cells: dict[tuple[Key, str], Planned] = {}
        for cell in (plan or {}).get("cells", []):
            key = (str(cell["task"]), float(cell["fraction"]), str(cell["budget"]), str(cell["method"]))
            self.cells[key, str(cell["stage"])] = Planned(int(cell["planned"]), cell.get("configurations"))
        self._seen: dict[tuple[float, str, str], set[int]] = {}
        for key, rows in groups(runs, ["fraction", "budget", "stage"]).items():
            self._seen[key] = {int(seed) for seed in rows["seed"]}

    def planned_cells(self) -> set[Key]:
        """Every planned cell."""
        return {key for key, _ in self.cells}

    def trials(self, key: Key, stage: str) -> int | None:
        """Planned trials of a cell and stage, as planned; None where nothing is known."""
        planned = self.cells.get((key, stage))
        return planned.trials if planned else None

    def configurations(self, key: Key) -> int | None:
        """Configurations that the cell's search or grid was to try."""
        both = [self.cells.get((key, stage)) for stage in ("grid", "search")]
        found = [one.configurations for one in both if one and one.configurations]
        return sum(found) if found else None

    def missing(self, key: Key, stage: str, present: set[int]) -> "Missing":
        """Seeds that a configuration of a cell lacks: named where other runs of the stage show them, else counted."""
        named = sorted(self._seen.get((key[1], key[2], stage), set()) - present)
        planned = self.cells.get((key, stage))
        seeds = planned.seeds if planned else None
        if seeds is not None:  # another method may have seeds of a wider study
            named = named[: max(0, seeds - len(present))]
        expected = max(len(present) + len(named), seeds or 0)
        return Missing(expected, tuple(named), expected - len(present) - len(named))


@dataclass(frozen=True)
class Missing:
    """Planned seeds, those of them that are missing by name, and the number of missing ones whose name is not known."""

    planned: int
    named: tuple[int, ...]
    unnamed: int

    @property
    def any(self) -> bool:
        """Whether a planned seed is missing."""
        return bool(self.named) or self.unnamed > 0

    def __str__(self) -> str:
        parts = [str(seed) for seed in self.named]
        if self.unnamed:
            parts.append(f"{self.unnamed} more" if parts else f"{self.unnamed} not yet run")
        return ", ".join(parts)
