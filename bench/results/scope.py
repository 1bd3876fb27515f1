"""What of a results folder belongs to its study as it now is.

A study may be narrowed between runs: a method, task, fraction, budget or seed dropped, a value taken out of a grid or a
choice, a range made smaller, a search given fewer trials. What it no longer contains stays in the folder and counts for
nothing: no choice, search, ledger or report sees it, until the study contains it again.
"""

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

from finebench.bench.methods import TUNABLE, method
from finebench.bench.study.parts.seeds import CONFIRM_BASE, Seeds, from_code
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.study.schema import Study
from finebench.bench.study.search_space import Space, Value, same_value
from finebench.bench.study.selection import Scored, by_configuration, select
from finebench.bench.study.trial_id import CellKey
from finebench.bench.util.errors import StudyError


class Row(NamedTuple):
    """What membership rests on: how a trial was asked for, and what a choice may see of it."""

    stage: str
    cell: CellKey
    configuration: str
    seed: int
    status: str
    select_score: float | None


ROW_COLUMNS = ("stage", "task", "method", "fraction", "budget", "hyperparameters", "seed", "status", "select_score")
"""Columns of `trials` of which rows are made."""


def rows_of(columns: Iterable[Iterable[Any]]) -> list[Row]:
    """Rows out of ROW_COLUMNS, each with the values of all trials."""
    return [
        Row(stage, (task, method, fraction, budget), text, int(seed), status, score)
        for stage, task, method, fraction, budget, text, seed, status, score in zip(*columns, strict=True)
    ]


class Place(NamedTuple):
    """A row's configuration and seed as the study now writes them: the same trial may have been written otherwise."""

    configuration: str
    seed: int


class Scope:
    """Tells which rows a study contains; `beyond` are configurations that a search suggested beyond its trials.

    `listed` are the cells and stages of plan.json (None: those of the study); of one that the study does not know, all
    rows are part.
    """

    def __init__(
        self,
        plan: Plan,
        beyond: Mapping[CellKey, frozenset[str]] | None = None,
        listed: frozenset[tuple[CellKey, str]] | None = None,
    ) -> None:
        self.plan, self.beyond, self.listed = plan, beyond or {}, listed
        study, search = plan.study, plan.study.search
        self._budgets = {budget.canonical: budget for budget in study.budget}
        self._tasks, self._fractions = set(study.task_names), set(study.fractions)
        self._stages = {"search" if search.optuna else "grid", *(["confirm"] if search.confirm_seeds else [])}
        self._point = cache(self._find)
        self._grid: dict[tuple[str, int], dict[str, dict[str, Value]]] = {}  # by method and space: points as written
        self._changed: dict[tuple[str, int], frozenset[str]] = {}  # likewise: keys that are written otherwise
        self._seeds = cache(self._planned_seeds)
        self._is_default = cache(self._told_default)

    def places(self, rows: Iterable[Row]) -> list[Place | None]:
        """Each row's place in the study; None for one that is no part of it.

        Of a confirm stage the runs of the configuration that is chosen now, and of the default, are part: another one
        has been chosen before the study changed.
        """
        given = list(rows)
        found = [self._place(row) for row in given]
        confirmed = {row.cell for row, place in zip(given, found, strict=True) if place and row.stage == "confirm"}
        if not confirmed:
            return found
        meant = self._confirmed(given, found, confirmed)
        return [
            None if place and row.stage == "confirm" and not meant(row.cell, place) else place
            for row, place in zip(given, found, strict=True)
        ]

    def point(self, cell: Cell, configuration: Mapping[str, Any]) -> dict[str, Value] | None:
        """The point of a cell's space that a complete configuration is, in the space's own writing; None where it lies
        outside."""
        return self._point(cell.task, cell.method, json.dumps(configuration, sort_keys=True))[0]

    def _place(self, row: Row) -> Place | None:
        cell = self._cell(row.cell)
        if self.listed is not None and (row.cell, row.stage) not in self.listed:
            return None
        if cell is None:
            return None if self.listed is None else Place(row.configuration, row.seed)
        if row.stage not in self._stages:
            return None
        seed = self._seeds(row.stage, cell.fraction).get(_streams(from_code(row.seed), cell.fraction))
        point, configuration = self._point(cell.task, cell.method, row.configuration)
        if seed is None or configuration is None:
            return None
        if point is None and not (row.stage == "confirm" and self._is_default(cell.task, cell.method, configuration)):
            return None
        if row.stage == "search" and configuration in self.beyond.get(row.cell, ()):
            return None
        return Place(configuration, seed)

    def _cell(self, key: CellKey) -> Cell | None:
        task, name, fraction, budget = key
        known = task in self._tasks and name in self.plan.study.methods and fraction in self._fractions
        return Cell(task, name, fraction, self._budgets[budget]) if known and budget in self._budgets else None

    def _planned_seeds(self, stage: str, fraction: float) -> dict[tuple[int, int, int | None], int]:
        """The `seed` column's values that a stage has, by the streams that they stand for."""
        search = self.plan.study.search
        if stage == "grid":
            planned = self.plan.seeds(fraction)
        else:
            first = CONFIRM_BASE if stage == "confirm" else 0
            number = search.confirm_seeds if stage == "confirm" else search.optuna.seeds if search.optuna else 0
            planned = [Seeds.paired(first + k) for k in range(1, number + 1)]
        return {_streams(one, fraction): one.code for one in planned}

    def _find(self, task: str, name: str, text: str) -> tuple[dict[str, Value] | None, str | None]:
        """The point that a configuration is, and the configuration as the study writes it (None: it writes none)."""
        cell = Cell(task, name, self.plan.study.fractions[0], self.plan.study.budget[0])
        space = self.plan.space(cell)
        given = _as_held(json.loads(text), name, space, self.plan.study)
        if given is None:
            return None, None
        wanted = json.dumps(given, sort_keys=True)
        if self.plan.study.search.optuna is None:
            return self._points_of(cell).get(wanted), wanted
        near = _candidates(space, given, name, lambda: self._rewritten(cell))
        return self._written(cell, near).get(wanted), wanted

    def _points_of(self, cell: Cell) -> dict[str, dict[str, Value]]:
        """The points of a cell's grid by how the study writes them, which may be unlike how its space does."""
        space = self.plan.space(cell)
        key = cell.method, id(space)
        if key not in self._grid:
            self._grid[key] = self._written(cell, space.points())
        return self._grid[key]

    def _rewritten(self, cell: Cell) -> frozenset[str]:
        """Keys whose values the method writes otherwise than they are given, alone or beside one other value."""
        space = self.plan.space(cell)
        key = cell.method, id(space)
        if key not in self._changed:
            found: set[str] = set()
            for point in _pairs(space):
                with suppress(StudyError):  # values that do not go together
                    made = self.plan.complete(cell, point)
                    found |= {key for key in point if key not in made or not same_value(made[key], point[key])}
            self._changed[key] = frozenset(found)
        return self._changed[key]

    def _written(self, cell: Cell, points: Iterable[dict[str, Value]]) -> dict[str, dict[str, Value]]:
        """Points by how the study writes them, the first of those that it writes alike."""
        found: dict[str, dict[str, Value]] = {}
        for point in points:
            with suppress(StudyError):  # values that do not go together: no configuration
                found.setdefault(json.dumps(self.plan.complete(cell, point), sort_keys=True), point)
        return found

    def _told_default(self, task: str, name: str, configuration: str) -> bool:
        """Whether a configuration is one that a confirm stage runs as the method's default: that, or that with what it
        keeps of the values which the space fixes (`bench.study.configurations.find_defaults`)."""
        if not self.plan.study.search.confirm_default:
            return False
        cell = Cell(task, name, self.plan.study.fractions[0], self.plan.study.budget[0])
        given, fixed = json.loads(configuration), self.plan.fixed(cell)
        same = {key: value for key, value in fixed.items() if key in given and same_value(value, given[key])}
        rewritten: dict[str, Value] = {}
        with suppress(StudyError):  # not all of them need go together with the defaults
            whole = self.plan.default(cell, fixed)
            rewritten = {key: value for key, value in fixed.items() if key in given and whole.get(key) == given[key]}
        return configuration in self._written(cell, (same, same | rewritten))

    def _confirmed(
        self, rows: list[Row], found: list[Place | None], cells: set[CellKey]
    ) -> Callable[[CellKey, Place], bool]:
        """A function of cell and place: whether its confirm runs are part, as all are where nothing has been chosen."""
        chosen: dict[CellKey, str] = {}
        scored: dict[CellKey, list[Scored]] = defaultdict(list)
        for row, place in zip(rows, found, strict=True):
            if place is not None and row.cell in cells and row.stage != "confirm":
                scored[row.cell].append(Scored(place.configuration, place.seed, row.status, row.select_score))
        for key, own in scored.items():
            best = select(by_configuration(own))
            if best is not None:
                chosen[key] = best.configuration

        def meant(key: CellKey, place: Place) -> bool:
            if key not in chosen or self._cell(key) is None:
                return True
            return place.configuration == chosen[key] or self._is_default(key[0], key[1], place.configuration)

        return meant


def _streams(seeds: Seeds, fraction: float) -> tuple[int, int, int | None]:
    """What of the seeds can change a trial: at all of the data there is no subset to draw."""
    return seeds.init, seeds.order, None if fraction == 1.0 else seeds.subset


def _as_held(configuration: Mapping[str, Any], name: str, space: Space, study: Study) -> dict[str, Any] | None:
    """A configuration with the training options that the space holds now, and hyperparameters that the method did not
    have when it was written; None where it was trained with other options than the study's."""
    made = {key: field.get_default() for key, field in method(name).model_fields.items()} | dict(configuration)
    for key in TUNABLE:
        own = getattr(study.training, key)
        if key in space.values:
            made.setdefault(key, own)
        elif key in made and made.pop(key) != own:
            return None
    return made


def _candidates(
    space: Space, given: Mapping[str, Any], name: str, rewritten: Callable[[], Collection[str]]
) -> Iterator[dict[str, Value]]:
    """Points of a space that may be written like a complete configuration.

    A value is usually written as it is, a whole number perhaps as a float. A method may write it otherwise: the default
    in place of what says no more, the members of a list in order. So where a value of a key that is `rewritten` is not
    found, all of its are tried.
    """
    found: dict[str, tuple[Value, ...]] = {}
    for key, drawn in space.distributions.items():
        value = given[key] if key in given else _default_of(name, key)
        if drawn.kind == "choice" and not drawn.holds(value) and key not in rewritten():
            return
        found[key] = drawn.drawn_as(value)
    for key, values in space.grids.items():
        same = tuple(value for value in values if key in given and same_value(value, given[key]))
        if not same and key not in rewritten():
            return
        found[key] = same or values
    yield from (dict(zip(found, values, strict=True)) for values in itertools.product(*found.values()))


def _pairs(space: Space) -> Iterator[dict[str, Value]]:
    """The first configuration of a space, and it again with each other value, and with each two of two keys."""
    yield from space.one_at_a_time()
    first = {key: values[0] for key, values in space.values.items()}
    for one, other in itertools.combinations(space.values, 2):
        both = itertools.product(space.values[one], space.values[other])
        yield from (first | {one: a, other: b} for a, b in both)


def _default_of(name: str, key: str) -> Any:
    return None if key in TUNABLE else method(name).default_of(key)
