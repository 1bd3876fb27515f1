"""Which trials run by themselves because their times and memory stand for others': one per cell and shape.

A shape is what the cost of a step depends on: the method with every hyperparameter that changes what it builds, and the
batch size. A learning rate changes no cost, so that one trial stands for all of them. A search draws shapes freely and
has one such trial in all; the confirm stage measures those that it chose.
"""

import json
from collections.abc import Iterable
from functools import lru_cache

from finebench.bench.methods import method
from finebench.bench.results.folder import Done
from finebench.bench.study.trial_id import CellKey, Trial

Stand = tuple[CellKey, str | None]
"""What one trial's costs stand for: a cell and a shape in it, or (None) a whole cell, in a search."""

_COSTLESS = frozenset({"warmup", "weight_decay"})
"""Training options that a space may hold and that no step is dearer for."""


@lru_cache(maxsize=4096)
def shape(name: str, configuration: str) -> str:
    """A method's configuration (JSON) without what changes no cost."""
    free = method(name).pack_free | _COSTLESS
    return json.dumps({key: value for key, value in json.loads(configuration).items() if key not in free})


def stand(of: Trial | Done) -> Stand:
    """What the costs of a trial, or of its row, stand for."""
    return of.cell, shape(of.cell[1], of.configuration)


class FirstSeeds:
    """The trials that measure: each stand is claimed by one trial, and again by the next one where that one fails."""

    def __init__(self, rows: Iterable[Done]) -> None:
        self._measured = set[Stand]()
        self._claimed = set[Stand]()
        for row in rows:
            self.observe(row)

    def observe(self, row: Done) -> None:
        """Take in a finished trial, whose costs may be its own."""
        if row.costs:
            self._measured.update([stand(row), (row.cell, None)])

    def free(self, one: Stand) -> bool:
        """Whether no trial has measured it, or was chosen to."""
        return one not in self._measured and one not in self._claimed

    def claim(self, one: Stand) -> bool:
        """Choose the trial that asks for it to measure a stand; False where that is not needed."""
        free = self.free(one)
        self._claimed.add(one)
        return free

    def release(self, one: Stand) -> None:
        """The trial that was chosen has failed: the next one may ask."""
        self._claimed.discard(one)

    def release_cell(self, cell: CellKey) -> None:
        """All trials of a cell that could measure it have ended: others may ask."""
        self._claimed = {one for one in self._claimed if one[0] != cell}
