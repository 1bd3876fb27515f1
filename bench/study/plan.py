"""Study → cells and trials: counted without materialising a million ids, expanded breadth first.

Breadth first means: seed 1 of every cell before seed 2 of any, so that a half-finished run is already balanced.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from finebench.bench.methods import TUNABLE, method
from finebench.bench.study.load import make_method, method_resources, spaces, tuned_training
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.search import CrossedSeeds, number_of
from finebench.bench.study.parts.seeds import CONFIRM_BASE, Seeds, crossed
from finebench.bench.study.parts.training import Training, split_point
from finebench.bench.study.precision import Precision
from finebench.bench.study.schema import Study
from finebench.bench.study.search_space import Space
from finebench.bench.study.trial_id import CellKey, Identity, Trial
from finebench.bench.study.waves import Waves, check_waves
from finebench.bench.util.errors import StudyError

MAX_TRIALS = 10_000_000


class Cell(NamedTuple):
    """What is compared, and what one search is run in."""

    task: str
    method: str
    fraction: float
    budget: Budget

    @property
    def key(self) -> CellKey:
        """The same key as `Trial.cell`."""
        return (self.task, self.method, self.fraction, self.budget.canonical)

    def __str__(self) -> str:
        return f"{self.task} · {self.method} · {self.fraction:g} · {self.budget.canonical}"


@dataclass(frozen=True)
class Identities:
    """What the study's names stand for in this run: the model, each task, and `precision: auto`
    (bench.study.precision)."""

    model: Identity
    tasks: Mapping[str, Identity]
    precision: Precision = "fp32"


@dataclass(frozen=True)
class CellCount:
    """Trials planned in one cell and stage; `configurations` is the tuning budget given to it."""

    cell: Cell
    stage: str
    planned: int
    configurations: int


class Plan:
    """A study, expanded on demand."""

    def __init__(self, study: Study) -> None:
        self.study = study
        self._spaces: dict[str, dict[str, Space]] = {name: spaces(study, name) for name in study.methods}
        self._resources = {name: method_resources(study, name) for name in study.methods}
        for name, by_task in self._spaces.items():
            for space in {id(space): space for space in by_task.values()}.values():
                self._check_distinct(name, space)
        tried = {name: max(map(self._tried, by_task.values())) for name, by_task in self._spaces.items()}
        check_waves(study, tried)
        total = self.count()
        if total > MAX_TRIALS:
            raise StudyError(f"study {study.name!r} asks for {total:,} trials; at most {MAX_TRIALS:,} are allowed")

    def _check_distinct(self, name: str, space: Space) -> None:
        """Refuse a space that writes one configuration twice, e.g. a default both as null and by its value."""
        seen: dict[str, dict[str, Any]] = {}
        for point in space.few():
            complete = json.dumps(self._complete(name, space, point), sort_keys=True)
            twin = seen.setdefault(complete, point)
            if twin is not point and not (self.study.search.optuna and self._tells(name, space, twin, point)):
                raise StudyError(f"methods.{name}: {twin} and {point} are the same configuration; leave out one")

    def _tells(self, name: str, space: Space, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Whether the values in which two points differ make a difference beside other values: a search may draw such
        points, and tries one of them. (A grid that holds both would run one twice.)"""
        apart = {key: value for key, value in other.items() if one[key] != value}
        beside = (point for point in space.few() if all(point[key] == one[key] for key in apart))
        return any(self._complete(name, space, p) != self._complete(name, space, p | apart) for p in beside)

    def cells(self) -> Iterator[Cell]:
        """Every task × fraction × budget × method."""
        study = self.study
        for budget in study.budget:
            for fraction in study.fractions:
                for name in study.task_names:
                    for tuned in study.methods:
                        yield Cell(name, tuned, fraction, budget)

    def space(self, cell: Cell) -> Space:
        """The hyperparameter space of a cell."""
        return self._spaces[cell.method][cell.task]

    def seeds(self, fraction: float) -> list[Seeds]:
        """The seeds of a grid cell; at fraction 1.0 the subset seed changes nothing and is not crossed."""
        given = self.study.seeds
        if isinstance(given, list):
            return [Seeds.paired(k) for k in given]
        if not isinstance(given, CrossedSeeds):
            return [Seeds.paired(k) for k in range(1, number_of(given) + 1)]
        return list(crossed(given.init, given.order, 1 if fraction == 1.0 else given.subset))

    def n_seeds(self, fraction: float) -> int:
        """`len(self.seeds(fraction))`, without building them."""
        given = self.study.seeds
        if not isinstance(given, CrossedSeeds):
            return number_of(given)
        return given.init * given.order * (1 if fraction == 1.0 else given.subset)

    def configurations(self, cell: Cell) -> int:
        """Configurations tried in a cell: a search tries none twice, so a space smaller than its budget is tried
        whole."""
        return self._tried(self.space(cell))

    def _tried(self, space: Space) -> int:
        optuna = self.study.search.optuna
        if optuna is None:
            return space.size
        return optuna.trials if space.distinct is None else min(optuna.trials, space.distinct)

    def counts(self, waves: Waves | None = None) -> Iterator[CellCount]:
        """Planned trials per cell and stage; of seeds in waves all of them, or those that have come so far.

        Confirm counts are upper bounds where the default is rerun: the best may be that.
        """
        search = self.study.search
        for cell in self.cells():
            tried = self.configurations(cell)
            most = waves.seeds[cell.key] if waves else None
            if search.optuna:
                yield CellCount(cell, "search", tried * search.optuna.seeds, tried)
            else:
                seeds = self.n_seeds(cell.fraction) if most is None or search.confirm_seeds else most
                yield CellCount(cell, "grid", tried * seeds, tried)
            if search.confirm_seeds:
                fresh = search.confirm_seeds if most is None else most
                yield CellCount(cell, "confirm", search.reruns * fresh, search.reruns)

    def count(self) -> int:
        """All trials planned: the sum of `counts`, without going through the cells."""
        study, search = self.study, self.study.search
        cells = len(study.budget) * len(study.fractions) * len(study.task_names) * len(study.methods)
        confirm = cells * self.most_confirmed
        points = sum(self._tried(space) for by_task in self._spaces.values() for space in by_task.values())
        if search.optuna:
            return len(study.budget) * len(study.fractions) * points * search.optuna.seeds + confirm
        return len(study.budget) * points * sum(map(self.n_seeds, study.fractions)) + confirm

    @property
    def most_confirmed(self) -> int:
        """Trials of a cell's confirm stage, at most: the best configuration may be the default."""
        search = self.study.search
        return search.reruns * search.confirm_seeds

    def complete(self, cell: Cell, point: Mapping[str, Any]) -> dict[str, Any]:
        """All hyperparameters of a point, defaults filled in, validated, and written canonically; of the training
        options those that the space holds."""
        return self._complete(cell.method, self.space(cell), point)

    def _complete(self, name: str, space: Space, point: Mapping[str, Any]) -> dict[str, Any]:
        (own, options), at = split_point(point), f"study: methods.{name}"
        training = tuned_training(self.study, options, at) if options else self.study.training
        held = {key: getattr(training, key) for key in TUNABLE if key in options or key in space.values}
        return dict(make_method(method(name), own, at).model_dump()) | held

    def points(self, cell: Cell) -> list[dict[str, Any]]:
        """The complete hyperparameters of every grid point of a cell."""
        return [self.complete(cell, point) for point in self.space(cell).points()]

    def default(self, cell: Cell, kept: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The method's default configuration, with what is `kept` of a space."""
        return self.complete(cell, kept or {})

    def fixed(self, cell: Cell) -> dict[str, Any]:
        """What a default may keep of a cell's space: the method's own values that it fixes, not the learning rate."""
        own = {key: values for key, values in self.space(cell).values.items() if key not in ("lr", *TUNABLE)}
        return {key: values[0] for key, values in own.items() if len(values) == 1}

    def trial(self, cell: Cell, stage: str, point: Mapping[str, Any], seeds: Seeds, known: Identities) -> Trial:
        """One trial of a cell; `point` is complete."""
        study, (own, options) = self.study, split_point(point)
        training = tuned_training(study, options, f"study: methods.{cell.method}") if options else study.training
        return Trial(
            stage=stage,
            method=cell.method,
            hyperparameters=own,
            task=known.tasks[cell.task],
            model=known.model,
            fraction=cell.fraction,
            seeds=seeds,
            budget=cell.budget,
            training=_resolved(training, known),
            select=study.select,
            tuned=tuple(options),
            ranks=self._resources[cell.method].number,
            shard=self._resources[cell.method].shard,
        )

    def grid(self, known: Identities, weight: Callable[[Cell], float] = lambda cell: 0.0) -> Iterator[Trial]:
        """Every grid trial, breadth first over seeds and longest first (by `weight`) inside a seed's wave."""
        cells = sorted(self.cells(), key=weight, reverse=True)
        points = {cell: self.points(cell) for cell in cells}
        waves = {fraction: self.seeds(fraction) for fraction in self.study.fractions}
        for wave in range(max(map(len, waves.values()))):
            for cell in cells:
                if wave < len(waves[cell.fraction]):
                    for point in points[cell]:
                        yield self.trial(cell, "grid", point, waves[cell.fraction][wave], known)

    def confirm(self, cell: Cell, points: list[dict[str, Any]], known: Identities) -> list[Trial]:
        """The confirm trials of a cell: each of `points` (best, perhaps default) on the same fresh seeds."""
        fresh = [Seeds.paired(CONFIRM_BASE + k) for k in range(1, self.study.search.confirm_seeds + 1)]
        return [self.trial(cell, "confirm", point, seeds, known) for seeds in fresh for point in points]

    def to_json(
        self,
        waves: Waves | None = None,
        beyond: Mapping[CellKey, Collection[str]] | None = None,
    ) -> dict[str, Any]:
        """What RESULTS/plan.json holds: planned trials per cell and stage, of seeds in waves those that have come;
        `beyond` are configurations that a cell's search suggested when it had more trials."""
        cells = [
            {
                "task": count.cell.task,
                "method": count.cell.method,
                "fraction": count.cell.fraction,
                "budget": count.cell.budget.canonical,
                "stage": count.stage,
                "planned": count.planned,
                "configurations": count.configurations,
            }
            | _beyond(count, beyond or {})
            for count in self.counts(waves)
        ]
        return {"study": self.study.name, "trials": sum(cell["planned"] for cell in cells), "cells": cells}


def _resolved(training: Training, known: Identities) -> Training:
    """The options with the precision that `auto` stands for in this run."""
    return training.model_copy(update={"precision": known.precision}) if training.precision == "auto" else training


def _beyond(count: CellCount, beyond: Mapping[CellKey, Collection[str]]) -> dict[str, Any]:
    found = beyond.get(count.cell.key, ()) if count.stage == "search" else ()
    return {"beyond": sorted(found)} if found else {}
