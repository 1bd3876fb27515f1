"""Everything that can go wrong before a trial starts is found here: data, model, methods, splits, the results
folder."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from bench import cost
from bench.architecture import Architecture, read_architecture
from bench.errors import DataError, MethodError, ResultsError, StudyError
from bench.hub import ModelRef, resolve_model
from bench.leakage import check_own
from bench.model_folder import check_folder
from bench.plan import Cell, Identities, Plan
from bench.registry import method, task
from bench.sources import TaskData, load_task, user_task
from bench.space import Space
from bench.splits import draw
from bench.study import DataFiles, DataHub, DataSplit, OwnTask, Study, split_point
from bench.tasks import Files, Hub, OneFile, Task
from bench.trial import Identity

if TYPE_CHECKING:
    from bench.results import ResultsFolder  # brings in pyarrow, which a forecast does without

FIXED = ("name", "model", "training", "select", "search")
"""Parts of a study that cannot change between runs into one results folder; the rest extends it."""

CHANGEABLE = ("search.grid.confirm_seeds", "search.optuna.trials", "search.optuna.confirm_seeds",
              "search.optuna.parallel")  # fmt: skip
"""What may change inside those parts."""


@dataclass(frozen=True)
class Prepared:
    """A study whose every input has been read and checked."""

    study: Study
    plan: Plan
    model: ModelRef
    architecture: Architecture
    tasks: Mapping[str, TaskData]
    known: Identities


def declared(entry: str | OwnTask) -> Task:
    """The Task of a study's entry: built in, or the user's own."""
    if isinstance(entry, str):
        return task(entry)
    return user_task(entry.name, source_of(entry.data), entry.text, entry.label, entry.metric)


def source_of(data: DataFiles | DataSplit | DataHub) -> Files | OneFile | Hub:
    """Where an own task's rows are, from what a study says of it."""
    if isinstance(data, DataFiles):
        return Files(data.train, data.validation)
    if isinstance(data, DataSplit):
        return OneFile(data.file, data.validation, data.seed, data.group)
    return Hub(data.hub, data.config, data.revision, {"train": data.train, "validation": data.validation})


def prepare(study: Study, data: Path | None) -> Prepared:
    """Read model and data, check every cell; raises an InputError with one message, before anything runs."""
    plan = Plan(study)
    model = resolve_model(study.model)
    architecture = read_architecture(model.folder)
    check_folder(model.folder, architecture)
    tasks = {one.name: load_task(one, data) for one in map(declared, study.tasks)}
    for loaded in tasks.values():
        check_own(loaded)
        check_weights(study, loaded.task, loaded.num_labels)
    check_cells(plan, architecture, tasks)
    return Prepared(study, plan, model, architecture, tasks, identities(model, tasks))


def identities(model: ModelRef, tasks: Mapping[str, TaskData]) -> Identities:
    """What a study's names stand for, as read."""
    revisions = {name: Identity(name, _revision(found)) for name, found in tasks.items()}
    return Identities(Identity(model.name, model.revision), revisions)


def _revision(found: TaskData) -> str:
    """What a task's results rest on: its version and data; of the user's own, also the metrics, the first of which
    chooses and scores."""
    metrics = f":{'+'.join(found.task.metrics)}" if found.task.own else ""
    return f"{found.task.version}:{found.fingerprint}{metrics}"


def check_cells(plan: Plan, architecture: Architecture, tasks: Mapping[str, TaskData]) -> None:
    """Check that each method applies to the model and that each fraction holds every class."""
    structures, together = set[str](), set[tuple[str, str]]()
    for cell in plan.cells():
        num_labels, fresh = tasks[cell.task].num_labels, (cell.method, cell.task) not in together
        if fresh:
            together.add((cell.method, cell.task))
            check_together(plan, cell, architecture)
        points = structural_points(plan, cell)
        for point in points:
            label = f"{cell.method}{sorted(point.items())}{num_labels}"
            if label not in structures:
                structures.add(label)
                check_method(cell.method, point, architecture, num_labels)
        if fresh:
            check_alike(cell.method, points, architecture, num_labels)
    check_draws(plan, tasks)


def check_draws(plan: Plan, tasks: Mapping[str, TaskData]) -> None:
    """Check that each fraction of each task holds every class: of one seed, as counts are the same for all."""
    for name, found in tasks.items():
        for fraction in plan.study.fractions:
            _check_draw(plan.study, name, found, fraction)


def check_weights(study: Study, task: Task, classes: int) -> None:
    """Raise StudyError where the study's class weights do not fit a task."""
    weights = study.training.class_weights
    if weights is None:
        return
    if task.kind == "regression":
        raise StudyError(f"training.class_weights: task {task.name!r} is a regression and has no classes to weigh")
    if isinstance(weights, list) and len(weights) != classes:
        raise StudyError(
            f"training.class_weights: {len(weights)} weights given, and task {task.name!r} has {classes} classes; "
            f"give one for each, in their order, or write balanced"
        )


def check_together(plan: Plan, cell: Cell, architecture: Architecture) -> None:
    """Raise MethodError where values that a search may draw together cannot be used together; counts nothing, since
    that may take building a model for each. Also where two of them are one configuration on this architecture."""
    seen: dict[str, dict[str, Any]] = {}
    for point in plan.space(cell).few():
        complete = plan.complete(cell, point)
        own, options = split_point(complete)
        tuned = method(cell.method)(**own)
        try:
            tuned.check(architecture)
            cost.closed_form(tuned, architecture)
        except MethodError as error:
            raise MethodError(f"methods.{cell.method}: {error}") from error
        whole = json.dumps(tuned.resolved(architecture).model_dump() | options, sort_keys=True)
        if (twin := seen.setdefault(whole, complete)) != complete:
            raise _twins(cell.method, twin, complete)


def check_alike(name: str, points: list[dict[str, Any]], architecture: Architecture, num_labels: int) -> None:
    """Raise MethodError where two points make the same of the model: a choice of modules, say, beside the null that
    chooses the same. Points that differ in a number are not looked at: a small dropout may do nothing for a while."""
    seen: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for point in points:
        own, options = split_point(point)
        trace = cost.trace(method(name)(**own), architecture, num_labels)
        if trace is None:
            return
        others = seen.setdefault((trace, json.dumps(options, sort_keys=True)), [])
        for other in others:
            if not any(_is_number(other.get(key)) or _is_number(point.get(key)) for key in _differing(other, point)):
                raise _twins(name, other, point)
        others.append(point)


def _differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    return {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _twins(name: str, one: dict[str, Any], other: dict[str, Any]) -> MethodError:
    return MethodError(f"methods.{name}: {one} and {other} are the same configuration on this model; leave out one")


def structural_points(plan: Plan, cell: Cell) -> list[dict[str, Any]]:
    """The distinct grid points of a cell when the learning rate is left out, and each value that a search may draw."""
    points = [*plan.points(cell), *(plan.complete(cell, point) for point in variations(plan.space(cell)))]
    lr = points[0]["lr"]
    distinct = {tuple(sorted((k, str(v)) for k, v in p.items() if k != "lr")): p | {"lr": lr} for p in points}
    return list(distinct.values())


def variations(space: Space) -> Iterator[dict[str, Any]]:
    """The first point of a space, and it again with each other value, end of a range or choice, one at a time; the
    learning rate stays."""
    first = next(space.one_at_a_time())
    yield from (point for point in space.one_at_a_time() if point.get("lr") == first.get("lr"))


def check_method(name: str, point: dict[str, Any], architecture: Architecture, num_labels: int) -> cost.Counts:
    """What a method trains at one point of its space; raises MethodError where it cannot be applied to the model."""
    tuned = method(name)(**split_point(point)[0])
    try:
        tuned.check(architecture)
        return cost.count(tuned, architecture, num_labels)
    except MethodError as error:
        raise MethodError(f"methods.{name}: {error}") from error


def _check_draw(study: Study, name: str, found: TaskData, fraction: float) -> None:
    select, regression = study.select, found.task.kind == "regression"
    try:
        draw(
            found.train.labels,
            regression,
            fraction,
            1,
            select.fraction,
            select.at_least,
            select.scale,
            task=name,
            names=found.label_names,
        )
    except DataError as error:
        raise StudyError(f"fractions: {error}") from error


def claim_folder(folder: "ResultsFolder", study: Study) -> None:
    """Check that the folder is new or holds this study; raises ResultsError with the difference. Writes nothing."""
    from bench.safe_yaml import MAX_BYTES, parse_yaml
    from bench.study_file import build_study

    data = folder.read_bytes("study.yaml", MAX_BYTES)
    if data is None:
        return
    where = folder.path("study.yaml")
    try:
        there = build_study(parse_yaml(data.decode("utf-8", errors="replace"), where), where, Path("."))
    except (StudyError, MethodError) as error:
        raise ResultsError(str(error)) from error
    differences = [line for key in FIXED for line in _differences(key, getattr(there, key), getattr(study, key))]
    if differences:
        raise ResultsError(
            f"results folder {folder.uri!r} holds another study; nothing was changed. Different: "
            f"{'; '.join(differences)}. Choose another folder with --results, or another study name"
        )


def model_place(model: str) -> str:
    """A model as any working directory knows it: a folder by its whole path, a hub id as it is."""
    return str(Path(model).resolve()) if Path(model).is_dir() else model


def _differences(key: str, there: Any, here: Any) -> list[str]:
    """One line for each part in which two values of a study differ, e.g. "training.evals: 5 there, 10 here"."""
    if key == "model":
        there, here = model_place(there), model_place(here)
    if there is None or here is None or not isinstance(there, BaseModel):
        return [] if there == here else [f"{key}: {_shown(there)} there, {_shown(here)} here"]
    parts = [name for name in type(there).model_fields if f"{key}.{name}" not in CHANGEABLE]
    return [line for name in parts for line in _differences(f"{key}.{name}", getattr(there, name), getattr(here, name))]


def _shown(value: Any) -> str:
    return "set" if isinstance(value, BaseModel) else "not set" if value is None else repr(value)
