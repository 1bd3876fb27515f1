"""A method's configurations on one model: whether they can be used, which of them are one and the same, which is the
default.

    check_methods(plan, architecture, {"mini-cola": 2}, every=True)
    default = find_defaults(plan, architecture, {"mini-cola": 2})["lora", "mini-cola"]
    met = Distinct("lora", architecture, 2)
    met.add(default)
    met.twin(best)  # the default, if the best is the same configuration under another name

A configuration is a complete point of a method's space (`Plan.complete`). Two are one where their methods resolve to
the same on the model, and, for a family's members, where they make the same of it bit for bit.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from finebench.bench.methods import Method, method
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.architecture import Architecture
from finebench.bench.study.estimate import fit_rows
from finebench.bench.study.parts.training import split_point
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.study.search_space import Space
from finebench.bench.util.errors import InputError, MethodError

Point = dict[str, Any]


def check_methods(
    plan: Plan, architecture: Architecture, num_labels: Mapping[str, int], every: bool
) -> dict[str, list[method_cost.ParameterCounts]]:
    """Check each method's space: on every point of a grid, or, without `every`, with one value changed at a time.

    `num_labels`: outputs of each task's head. Returns what each method trains at the points looked at. Raises
    MethodError where a method or a value cannot be used, does nothing, or makes a configuration that is there already.
    """
    seen: set[tuple[str, int, int]] = set()
    counts: defaultdict[str, list[method_cost.ParameterCounts]] = defaultdict(list)
    for cell in _spaces(plan):
        labels, space = num_labels[cell.task], plan.space(cell)
        if (shape := (cell.method, id(space), labels)) in seen:
            continue
        seen.add(shape)
        check_together(plan, cell, architecture)
        points = structural_points(plan, cell, every)
        counts[cell.method] += [check_method(cell.method, point, architecture, labels) for point in points]
        check_alike(plan, cell, points, architecture, labels)
        check_effects(plan, cell, points, architecture, labels)
    return counts


def _spaces(plan: Plan) -> Iterator[Cell]:
    """A cell for each method and task: the others have the same spaces."""
    study = plan.study
    for name in study.methods:
        for task in study.task_names:
            yield Cell(task, name, study.fractions[0], study.budget[0])


def check_together(plan: Plan, cell: Cell, architecture: Architecture) -> None:
    """Raise MethodError where values that a search may draw together cannot be used together; counts nothing, since
    that may take building a model for each. Also where two of them are one configuration once resolved."""
    met = Distinct(cell.method, architecture, None)
    for point in plan.space(cell).few():
        complete = plan.complete(cell, point)
        tuned = method(cell.method)(**split_point(complete)[0])
        try:
            tuned.check(architecture)
            method_cost.closed_form(tuned, architecture)
        except MethodError as error:
            raise MethodError(f"methods.{cell.method}: {error}") from error
        _check_new(plan, cell, met, complete)


def check_alike(plan: Plan, cell: Cell, points: list[Point], architecture: Architecture, num_labels: int) -> None:
    """Raise MethodError where two points of a family's member make the same of the model: a choice of modules, say,
    beside the null that chooses the same."""
    met = Distinct(cell.method, architecture, num_labels)
    for point in points:
        _check_new(plan, cell, met, point)


def _check_new(plan: Plan, cell: Cell, met: "Distinct", point: Point) -> None:
    """Take in a configuration; raises MethodError where it was there and was to be run once more.

    A search tries one of such a pair, so that values which differ beside others may stand in its space.
    """
    twin = met.twin(point)
    if twin is None:
        met.add(point)
    elif twin != point and not (plan.study.search.optuna and _tells(plan, cell, met, twin, point)):
        raise MethodError(
            f"methods.{cell.method}: {twin} and {point} are the same configuration on this model; leave out one"
        )


def _tells(plan: Plan, cell: Cell, met: "Distinct", one: Point, other: Point) -> bool:
    """Whether the values in which two configurations differ make a difference beside other values."""
    apart = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    beside: defaultdict[str, list[Point]] = defaultdict(list)
    for point in plan.space(cell).few():
        complete = plan.complete(cell, point)
        values = {key: complete.get(key) for key in apart}
        if values in ({key: one.get(key) for key in apart}, {key: other.get(key) for key in apart}):
            beside[json.dumps([v for k, v in sorted(point.items()) if k not in apart])].append(complete)
    return any(not met.same(*pair) for pair in beside.values() if len(pair) == 2)


class Distinct:
    """The configurations of a method met so far, told apart by what they are on one model.

    `num_labels`: outputs of the head of the model that a family's member is tried on; None: none is tried, so that
    only what the methods resolve is seen.
    """

    def __init__(self, name: str, architecture: Architecture, num_labels: int | None) -> None:
        self._name, self._architecture, self._num_labels = name, architecture, num_labels
        self._met: defaultdict[str, dict[str, Point]] = defaultdict(dict)  # by what is fixed, then as resolved
        self._traces: dict[str, str | None] = {}

    def add(self, point: Point) -> None:
        """Take in a configuration."""
        self._met[_fixed(point)].setdefault(self._resolved(point), point)

    def twin(self, point: Point) -> Point | None:
        """The configuration met before that this one is, or None.

        Fractions are compared as they are written: a small dropout may do nothing for a while.
        """
        others, resolved = self._met[_fixed(point)], self._resolved(point)
        if resolved in others or not others:
            return others.get(resolved)
        trace = self._trace(point, resolved)
        alike = (other for name, other in others.items() if trace is not None and self._trace(other, name) == trace)
        return next(alike, None)

    def same(self, one: Point, other: Point) -> bool:
        """Whether two configurations are one."""
        apart = Distinct(self._name, self._architecture, self._num_labels)
        apart.add(one)
        return apart.twin(other) is not None

    def _method(self, point: Point) -> Any:
        return method(self._name)(**split_point(point)[0])

    def _resolved(self, point: Point) -> str:
        return json.dumps(self._method(point).resolved(self._architecture).model_dump(), sort_keys=True)

    def _trace(self, point: Point, resolved: str) -> str | None:
        if self._num_labels is not None and resolved not in self._traces:
            self._traces[resolved] = method_cost.trace(self._method(point), self._architecture, self._num_labels)
        return self._traces.get(resolved)


def _fixed(point: Point) -> str:
    """What two configurations must have in common to be one: learning rate, training options, and all fractions."""
    own, options = split_point(point)
    return json.dumps([own["lr"], options, sorted(_fractions(own))], sort_keys=True)


def _fractions(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, float):
        yield path, value
    elif isinstance(value, Mapping):
        for key, one in value.items():
            yield from _fractions(one, f"{path}.{key}")


def check_effects(plan: Plan, cell: Cell, points: list[Point], architecture: Architecture, num_labels: int) -> None:
    """Raise MethodError for a value of a family's member that does nothing at any point that has it."""
    effects = _effects(cell.method, points, architecture, num_labels)
    for said in (said for said, acts in effects.items() if not acts):
        option = re.split(r"[.:]", said)[0]
        every = (plan.complete(cell, point) for point in plan.space(cell).few())  # it may act beside other values
        having = (point for point in every if option in point)
        if not any(_effects(cell.method, [point], architecture, num_labels).get(said) for point in having):
            raise MethodError(
                f"methods.{cell.method}: {said} has no effect: the model with it is bit for bit the model without it, "
                f"at the start and after some steps; leave it out"
            )


def _effects(name: str, points: list[Point], architecture: Architecture, num_labels: int) -> dict[str, bool]:
    """The values of all points in words, and whether each does something at one of them."""
    found: dict[str, bool] = {}
    for point in points:
        tuned = method(name)(**split_point(point)[0])
        for said, acts in method_cost.effects(tuned, architecture, num_labels).items():
            found[said] = found.get(said, False) or acts
    return found


def structural_points(plan: Plan, cell: Cell, every: bool = True) -> list[Point]:
    """The distinct points of a cell when the learning rate is left out: those of its grid (with `every`), or each value
    that a search may draw, also from lists: their product may be of any size, and most of it is never tried."""
    few = [plan.complete(cell, point) for point in variations(plan.space(cell))]
    points = [*plan.points(cell), *few] if every and plan.study.search.optuna is None else few
    lr = points[0]["lr"]
    distinct = {tuple(sorted((k, str(v)) for k, v in p.items() if k != "lr")): p | {"lr": lr} for p in points}
    return list(distinct.values())


def variations(space: Space) -> Iterator[Point]:
    """The first point of a space, and it again with each other value, end of a range or choice, one at a time; the
    learning rate stays."""
    first = next(space.one_at_a_time())
    yield from (point for point in space.one_at_a_time() if point.get("lr") == first.get("lr"))


def check_method(name: str, point: Point, architecture: Architecture, num_labels: int) -> method_cost.ParameterCounts:
    """What a method trains at one point of its space; raises MethodError where it cannot be applied to the model."""
    tuned = method(name)(**split_point(point)[0])
    try:
        tuned.check(architecture)
        return method_cost.count(tuned, architecture, num_labels)
    except MethodError as error:
        raise MethodError(f"methods.{name}: {error}") from error


def check_steps(plan: Plan, train_rows: Mapping[str, int], defaults: "Defaults") -> None:
    """Raise MethodError where a budget ends before a method does what its values ask for.

    `train_rows`: rows of train by task. A budget in seconds or FLOPs is not looked at; a trial finds out.
    """
    for cell in plan.cells():
        if not cell.budget.fixed or method(cell.method).too_short is Method.too_short:
            continue
        points = [*structural_points(plan, cell, every=False), *filter(None, [defaults.get((cell.method, cell.task))])]
        for point in points:
            own, options = split_point(point)
            batch = options.get("batch_size", plan.study.training.batch_size)
            steps = cell.budget.to_steps(fit_rows(plan.study, cell, train_rows[cell.task]), batch)
            reason = method(cell.method)(**own).too_short(steps)
            if reason is not None:
                raise MethodError(
                    f"methods.{cell.method}: {reason}; budget {cell.budget.canonical} has {steps} in {cell}"
                )


Defaults = Mapping[tuple[str, str], Point]
"""The default configuration by method and task."""


def find_defaults(plan: Plan, architecture: Architecture, num_labels: Mapping[str, int]) -> Defaults:
    """The defaults that a confirm stage runs beside the best configurations; empty where a study has no such stage or
    does without them.

    A default is the method's own. Where that cannot be used on the model (an option without a default that it needs),
    it keeps the values which it cannot do without, if the space fixes them. Raises MethodError where it does not.
    """
    if not plan.study.search.confirm_seeds or not plan.study.search.confirm_default:
        return {}
    cells = list(_spaces(plan))
    return {(cell.method, cell.task): _default(plan, cell, architecture, num_labels[cell.task]) for cell in cells}


def _default(plan: Plan, cell: Cell, architecture: Architecture, num_labels: int) -> Point:
    def fails(kept: Point) -> InputError | None:
        try:
            check_method(cell.method, plan.default(cell, kept), architecture, num_labels)
        except InputError as error:
            return error
        return None

    reason = fails({})
    if reason is None:
        return plan.default(cell)
    kept = plan.fixed(cell)
    if fails(kept):
        kind = "grid" if plan.study.search.optuna is None else "optuna"
        raise MethodError(
            f"{reason}; a confirm stage also runs the method's default configuration: give what that needs one value "
            f"in the space, or set search.{kind}.confirm_default to false"
        ) from reason
    for key in list(kept):
        fewer = {name: value for name, value in kept.items() if name != key}
        kept = kept if fails(fewer) else fewer
    return plan.default(cell, kept)
