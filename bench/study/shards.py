"""A part of a study, for machines that no network joins: shard 2/4 is the second of four; no two share a trial.

    part = ShardPlan(study, Shard.parse("2/4"), weigh)     # a Plan of what this shard runs, and of nothing else

What may run apart are the seeds of a cell, as long as nothing is chosen from them. A search and a confirm stage choose
in their cell: there a shard has whole cells. Every machine that has the same study, data and model deals alike.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from math import gcd
from typing import NamedTuple

from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.plan import Cell, CellCount, Identities, Plan
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import CellKey, Trial
from finebench.bench.study.waves import Waves
from finebench.bench.util.errors import InputError, StudyError

MOST = 100_000


class Shard(NamedTuple):
    """The `number`-th, counted from 1, of `of` parts."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Read "2/4"; raises InputError where that is none."""
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip(), re.ASCII)
        shard = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if not 1 <= shard.number <= shard.of <= MOST:
            raise InputError(
                f"--shard {text!r}: give a shard's number and how many there are, from 1/4 to 4/4 (at most {MOST:,})"
            )
        return shard

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


class ShardPlan(Plan):
    """The plan of one shard.

    `weigh` says what a trial of a cell costs, in any unit: the dearest cells are dealt first, so that every shard gets
    as many of them. Raises StudyError where a study cannot be run in parts, or not in so many.
    """

    def __init__(self, study: Study, shard: Shard, weigh: Callable[[Cell], float]) -> None:
        self.shard, self._weigh = shard, weigh
        self._whole = bool(study.search.optuna or study.search.confirm_seeds)
        _check(study, shard)
        super().__init__(study)
        parts = len(self._order) if self._whole else sum(self.n_seeds(cell.fraction) for cell in super().cells())
        if shard.of > parts:
            what = "cells, and what it chooses in a cell it chooses from all of its trials" if self._whole else "parts"
            raise StudyError(f"--shard {shard}: the study has {parts} {what}; give at most {parts} shards")

    @cached_property
    def _order(self) -> dict[CellKey, int]:
        """Each cell's place, the dearest first; of equals the plan's order. Three digits are the same on every
        machine, where the last ones of a sum need not be."""
        ranked = sorted(super().cells(), key=lambda cell: -float(f"{self._weigh(cell):.2e}"))
        return {cell.key: place for place, cell in enumerate(ranked)}

    @cached_property
    def _before(self) -> dict[CellKey, int]:
        """How many seeds the cells before each have together; empty where all cells have as many."""
        if len({self.n_seeds(fraction) for fraction in self.study.fractions}) == 1:
            return {}
        ends = accumulate((self.n_seeds(fraction) for _, _, fraction, _ in self._order), initial=0)
        return dict(zip(self._order, ends, strict=False))

    def _deals(self, cell: Cell, wave: int) -> int:
        """The shard, from 0, of a cell's seeds in a wave (its first seed is in wave 0).

        Cells are dealt out one after the other, wave after wave, and once more shifted where the waves would begin to
        repeat: shards differ by one in the number of seeds, and a cell's first `of` seeds stand in as many shards. An
        added seed leaves the others where they are. Of crossed seeds a cell with all of the data has fewer: there cells
        are dealt out whole, one after the other, since waves of unequal length would not come out even.
        """
        if self._before:
            return (self._before[cell.key] + wave) % self.shard.of
        of, cells = self.shard.of, len(self._order)
        return (self._order[cell.key] + wave * cells + wave * gcd(cells, of) // of) % of

    def _here(self, cell: Cell) -> list[Seeds]:
        """The seeds of a grid cell that are this shard's."""
        seeds, mine = super().seeds(cell.fraction), self.shard.number - 1
        if self._whole:
            return seeds
        return [one for wave, one in enumerate(seeds) if self._deals(cell, wave) == mine]

    def cells(self) -> Iterator[Cell]:
        """The cells of which this shard runs something."""
        of, mine = self.shard.of, self.shard.number - 1
        for cell in super().cells():
            if self._whole:
                row, place = divmod(self._order[cell.key], of)
                if (place if row % 2 == 0 else of - 1 - place) == mine:  # to and fro, or the first had all the dearest
                    yield cell
            elif self._here(cell):
                yield cell

    def counts(self, waves: Waves | None = None) -> Iterator[CellCount]:
        """Planned trials per cell and stage, of this shard alone."""
        mine = {cell.key: len(self._here(cell)) for cell in self.cells()}
        for count in super().counts():
            if count.stage != "grid":
                yield count
            else:
                yield replace(count, planned=count.configurations * mine[count.cell.key])

    def count(self) -> int:
        """All trials planned in this shard."""
        return sum(one.planned for one in self.counts())

    def grid(self, known: Identities, weight: Callable[[Cell], float] = lambda cell: 0.0) -> Iterator[Trial]:
        """This shard's grid trials, in the order of the plan."""
        mine = {cell.key: set(self._here(cell)) for cell in self.cells()}
        return (trial for trial in super().grid(known, weight) if trial.seeds in mine[trial.cell])


def _check(study: Study, shard: Shard) -> None:
    """Raise StudyError for what only one folder can know."""
    if study.waves is not None:
        raise StudyError(
            f"--shard {shard}: seeds until settled come after a look at the claims, for which all trials have to be in "
            "one folder; give a number of seeds"
        )
    if any(budget.seconds is not None for budget in study.budget):
        raise StudyError(
            f"--shard {shard}: a budget of seconds becomes steps by one measurement, and every shard would make its "
            "own; give epochs, steps or flops"
        )


def said_of(shards: Sequence[str]) -> list[str]:
    """A sentence on a folder that was run as these shards; none where it was run whole."""
    if not shards:
        return []
    which = f"shard {shards[0]}" if len(shards) == 1 else f"shards {', '.join(shards)}"
    return [
        f"This folder was run as {which} of its study: what is missing may be in the other shards' folders, and claims "
        "are to be read once `finebench merge` has put all of them into one."
    ]
