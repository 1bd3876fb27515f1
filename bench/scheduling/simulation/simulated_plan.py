"""A plan that is only simulated: a scheduler of all of its trials, with searches that suggest and know no results."""

import math
from collections.abc import Mapping
from itertools import count
from typing import Any

from finebench.bench.results.folder import Done
from finebench.bench.scheduling.pack_size import AsWritten
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.scheduling.simulation.clock import alike, simulate
from finebench.bench.study.load import method_resources
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.trial_id import Identity
from finebench.bench.study.waves import Waves
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import StudyError

MOST = 200_000
"""Trials of a plan up to which a run is simulated: in about a minute."""


def on_slots(plan: Plan, core_seconds: Mapping[Cell, float], slots: int, cores: float) -> dict[str, Any]:
    """What a run of all trials takes on so many slots, JSON-ready. A slot has the cores that a trial asks for, on each
    of its ranks, and a trial takes that part of its `core_seconds` there; `machines` have so many `cores` each, and a
    rank stands on one of them. Raises StudyError where no machine has room for one."""
    asked = {name: method_resources(plan.study, name) for name in plan.study.methods}
    seconds = {
        cell: taken / (asked[cell.method].cpu * asked[cell.method].number) for cell, taken in core_seconds.items()
    }
    machines = 1
    for name, one in asked.items():
        held = math.floor(cores / one.cpu + 1e-9)
        if held == 0:
            raise StudyError(
                f"--slots {slots}: trials of {name!r} ask for {one.cpu:g} CPUs on one machine, and machines like this "
                f"one have {cores:g}: they could never start. Ask for less (--set methods.{name}.resources.cpu=…)"
            )
        machines = max(machines, math.ceil(slots * one.number / held))
    of = {cell.key: taken for cell, taken in seconds.items()}
    found = simulate(planned(plan, seconds, slots), lambda trial: of[trial.cell], alike(slots))
    return {"slots": slots, "machines": machines, "seconds": found.seconds, "bound": found.bound, "busy": found.busy}


def planned(plan: Plan, seconds: Mapping[Cell, float], slots: int) -> Scheduler:
    """The scheduler of a run of a whole plan on so many slots: all waves of seeds are needed, every confirm stage has
    as many configurations as it may, and no trial of a search is stopped early."""
    study, cells = plan.study, list(plan.cells())
    named = {name: Identity(name, "simulated") for name in study.task_names}
    known = Identities(Identity(study.model, "simulated"), named)
    keys = [cell.key for cell in cells]
    searches = {}
    if (optuna := study.search.optuna) is not None:
        width = -(-slots // len(cells)) if optuna.parallel == "auto" else optuna.parallel
        searches = {cell: _Search(plan, cell, known, optuna.seeds, width) for cell in cells}

    def confirmed(cell: Cell, best: dict[str, Any]) -> list[dict[str, Any]]:
        default = plan.default(cell)
        return [best] if best == default or not study.search.confirm_default else [best, default]

    scheduler = Scheduler(
        plan,
        known,
        {},
        confirmed,
        searches=searches,
        weight=seconds.__getitem__,
        sizes=AsWritten(study),
        waves=Waves(study, keys, lambda look: keys) if study.waves else None,
    )
    scheduler.queue.slots = slots
    return scheduler


class _Search:
    """A cell's search as far as it takes time: a suggestion waits for the results of all but the `width` before it
    (bench.scheduling.optuna_search). Each is the cell's first configuration, on seeds of its own."""

    def __init__(self, plan: Plan, cell: Cell, known: Identities, seeds: int, width: int) -> None:
        self._plan, self._cell, self._known, self._seeds, self._width = plan, cell, known, seeds, width
        self._point = plan.complete(cell, next(plan.space(cell).points()))
        self._left = plan.configurations(cell)
        self._window: list[str] = []
        self._ended = set[str]()
        self._drawn = count(1)

    def ask(self) -> Pack | None:
        if self.exhausted or len(self._window) >= self._width:
            return None
        self._left -= 1
        drawn = [Seeds.paired(next(self._drawn)) for _ in range(self._seeds)]
        pack = Pack(tuple(self._plan.trial(self._cell, "search", self._point, one, self._known) for one in drawn))
        self._window.append(pack.name)
        return pack

    def rung(self, pack: Pack, index: int, value: float) -> bool:
        return False

    def tell(self, pack: Pack, rows: list[Done]) -> None:
        self._ended.add(pack.name)
        while self._window and self._window[0] in self._ended:
            self._ended.remove(self._window.pop(0))

    @property
    def exhausted(self) -> bool:
        return self._left == 0

    @property
    def finished(self) -> bool:
        return self.exhausted and not self._window
