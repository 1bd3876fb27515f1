"""The start of a run: what the folder holds and the study contains, and the one moment when the study is written down.

Everything that may still refuse a run (a search's suggestions that cannot be read, a Ray that does not answer, more
asked for than a machine has) comes before `Opening.begin`: a study that is refused has changed nothing in its folder.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from finebench.bench.driver.validate import Prepared
from finebench.bench.results.deltas import BestDeltas
from finebench.bench.results.folder import Done, ResultsFolder
from finebench.bench.results.leftovers import clear_results, clear_scratch
from finebench.bench.results.recompute_id import extended, identity
from finebench.bench.results.record import record_name
from finebench.bench.results.scope import Scope
from finebench.bench.results.within import outside_note, same, within
from finebench.bench.scheduling.recorder import Recorder
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.scheduling.slots import parallel
from finebench.bench.study.estimate import estimate, sizes, weight
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.study.shards import Shard, ShardPlan
from finebench.bench.study.trial_id import CellKey, Trial
from finebench.bench.study.waves import Waves, asked_of
from finebench.bench.training.worker.checkpoint_policy import clear

if TYPE_CHECKING:
    from finebench.bench.scheduling.optuna_search import OptunaCell  # brings in Optuna, which a grid does without

Settle = Callable[[str, int], tuple[Collection[CellKey], str]]
"""From a folder and a number of looks: the cells that open claims need, and where all claims stand, in words."""


@dataclass
class Opening:
    """A run that has not begun. `inputs` is what plan.json says beside the plan, `study` the text of study.yaml, `keep`
    which deltas are kept: none, best or all; `settle` looks at the claims of seeds that come in waves; of a `shard` no
    more than its part of the study is run."""

    folder: ResultsFolder
    ready: Prepared
    study: str
    inputs: Mapping[str, Any]
    keep: str
    settle: Settle
    shard: Shard | None = None
    part: Plan = field(init=False)
    searches: "dict[Cell, OptunaCell]" = field(init=False)
    done: dict[tuple[str, bool], Done] = field(init=False)
    outside: int = field(init=False)

    def __post_init__(self) -> None:
        """Read the folder; raises ResultsError where it cannot be gone on with."""
        self.stored = self.folder.plan()
        study = self.ready.study
        self.part = ShardPlan(study, self.shard, self._weights.__getitem__) if self.shard else self.ready.plan
        self.waves: Waves | None = None
        self._looks: list[list[int]] = list(self.stored["looks"]) if self.stored else []
        self._asked: list[str] = list(self.stored["asked"]) if self.stored else []
        self._begun = False
        self._stock = self.folder.read_stock()
        written, now = self.ready.study.training.precision, self.ready.known.precision
        mine, self._others = same(self._stock.done, written, now)
        self.searches = _searches(self.ready, self.part, self.folder, mine)
        self.done = within(Scope(self.ready.plan, self._beyond), mine)
        self.outside = len(mine) - len(self.done)

    @property
    def notes(self) -> list[str]:
        """What the user should know of the folder."""
        return [*self._stock.notes, *self._others, *([outside_note(self.outside)] if self.outside else [])]

    @cached_property
    def _weights(self) -> dict[Cell, float]:
        """What a trial of each cell takes, for their order."""
        plan, weights = self.ready.plan, dict[Cell, float]()
        measured = sizes(self.ready.tasks, self.ready.study.training.max_length)
        for cell in plan.cells():
            weights[cell] = weight(estimate(plan, cell, self.ready.architecture, measured[cell.task]))
        return weights

    @property
    def _beyond(self) -> dict[CellKey, frozenset[str]]:
        """Suggestions beyond a search's trials, by cell: of this run's searches, and as stored of a shard's other
        cells."""
        there = self.stored["cells"] if self.stored and self.shard else []
        keys = ("task", "method", "fraction", "budget")
        stored = {tuple(cell[key] for key in keys): frozenset(cell["beyond"]) for cell in there if cell["beyond"]}
        return stored | {cell.key: frozenset(search.beyond) for cell, search in self.searches.items()}

    def scheduler(self, limit: int | None, why: Callable[[Trial, str, bool], None]) -> Scheduler:
        """The order of what is missing."""
        plan = self.part
        cells = {cell.key for cell in plan.cells()}
        done = {key: one for key, one in self.done.items() if one.cell in cells}
        if self.ready.study.waves is not None:
            self.waves = Waves(self.ready.study, [cell.key for cell in plan.cells()], self._decide, self._moved)
        return Scheduler(
            plan, self.ready.known, done, self.ready.confirmed, searches=self.searches, limit=limit,
            weight=self._weights.__getitem__, why=why, waves=self.waves,
        )  # fmt: skip

    def _decide(self, look: int) -> Collection[CellKey]:
        """The cells that open claims need after a look at what is stored by now."""
        looks = list(self.waves.schedule) if self.waves else []
        asked = asked_of(self.ready.study)
        if (self._looks[-1:], self._asked[-1:]) != ([looks], [asked]):
            self._looks.append(looks)
            self._asked.append(asked)
        cells, said = self.settle(self.folder.uri, look + 1)
        self.folder.notify(f"interim analysis {look + 1} of {len(looks)}, {looks[look]} seeds: {said}")
        return cells

    def _moved(self, waves: Waves) -> None:
        self._write_plan()

    def _write_plan(self) -> None:
        content = self.ready.plan.to_json(self.waves, self._beyond)
        self.folder.write_json("plan.json", content | self._beside | {"looks": self._looks, "asked": self._asked})

    def begin(self, recorder: Recorder, slots: Mapping[str, int] | None = None) -> None:
        """Nothing refuses the run any more: write down what it is, and tidy up after others.

        `slots` are the trials of each method that train at once; None where nothing is left to train, as far as is
        known: a look may bring more, and a second call the slots.
        """
        folder = self.folder
        width: dict[str, int] = self.stored["parallel"] if self.stored else {}
        if slots is not None:
            width = width | parallel(self.ready.study, len(self.searches), slots, width)
        for cell, search in self.searches.items():
            search.parallel = width.get(cell.method, 1)
        identities = extended(self.stored, identity(self.ready.known, self.ready.study))
        tasks = (self.stored["tasks"] if self.stored else {}) | self.inputs["tasks"]
        self._beside = dict(self.inputs) | {"identities": identities, "tasks": tasks, "parallel": width}
        if self.shard:
            before, copying = (self.stored["shards"], self.stored["copying"]) if self.stored else ([], [])
            self._beside["copying"] = [one for one in copying if one != str(self.shard)]
            self._beside["shards"] = list(dict.fromkeys([*before, str(self.shard)]))
        folder.write_bytes("study.yaml", self.study.encode())
        self._write_plan()
        if self._begun:
            return
        self._begun = True
        folder.set_aside(self._stock)
        clear_results(folder)
        clear_scratch()
        clear(folder, {one.trial_id for one in self._stock.done.values()})
        if self.keep == "best":
            outside = {self._stock.done[key].trial_id for key in self._stock.done.keys() - self.done.keys()}
            recorder.stored = BestDeltas(folder, self.done.values(), outside).saw

    def widen(self, slots: Mapping[str, int]) -> None:
        """Searches may have more configurations under way where there are more slots than before; never fewer.

        What has been suggested stays as it was: each suggestion holds how many results it rests on.
        """
        before: dict[str, int] = self._beside["parallel"]
        wanted = parallel(self.ready.study, len(self.searches), slots, {})
        grown = {name: number for name, number in wanted.items() if number > before.get(name, 1)}
        if not grown:
            return
        self._beside["parallel"] = before | grown
        for cell, search in self.searches.items():
            search.parallel = max(search.parallel, grown.get(cell.method, 1))
        self._write_plan()


def _searches(
    ready: Prepared, plan: Plan, folder: ResultsFolder, done: Mapping[tuple[str, bool], Done]
) -> "dict[Cell, OptunaCell]":
    if not ready.study.search.optuna:
        return {}
    from finebench.bench.scheduling.optuna_search import OptunaCell

    evals = _evals_of(folder)
    return {
        cell: OptunaCell(plan, cell, ready.known, folder, done, evals, distinct=ready.distinct(cell))
        for cell in plan.cells()
    }


def _evals_of(folder: ResultsFolder) -> Callable[[str, bool], list[float]]:
    """`select` values of a finished trial, in the order of its evaluations."""

    def read(trial_id: str, pruned: bool) -> list[float]:
        rows = folder.record_rows("evals", record_name(trial_id, "pruned" if pruned else "ok")).to_pylist()
        return [row["value"] for row in sorted(rows, key=lambda row: row["step"]) if row["split"] == "select"]

    return read
