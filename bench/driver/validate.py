"""Everything that can go wrong before a trial starts is found here: data, model, methods, splits, the results
folder."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from finebench.bench.data.leakage import check_own
from finebench.bench.data.splits import Draw, draw
from finebench.bench.data.task_data import TaskData, load_task, user_task
from finebench.bench.metrics import code as metric_code
from finebench.bench.metrics import majority_score
from finebench.bench.models.architecture import Architecture, read_architecture
from finebench.bench.models.checkpoint_checks import check_folder
from finebench.bench.models.hub import ModelRef, resolve_model
from finebench.bench.study.configurations import Defaults, Distinct, check_methods, check_steps, find_defaults
from finebench.bench.study.parts.own_task import DataFiles, DataHub, DataSplit, OwnTask
from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.precision import Precision
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import Identity
from finebench.bench.tasks import TASKS, Files, HeldOut, Hub, OneFile, Task, task
from finebench.bench.util.errors import DataError, MethodError, ResultsError, StudyError
from finebench.bench.util.places import truly

if TYPE_CHECKING:
    from finebench.bench.results.folder import ResultsFolder  # brings in pyarrow, which a forecast does without

FIXED = ("name", "model", "training", "select", "search")
"""Parts of a study that cannot change between runs into one results folder; the rest extends it."""

CHANGEABLE = ("search.grid.confirm_seeds", "search.grid.confirm_default", "search.optuna.trials",
              "search.optuna.confirm_seeds", "search.optuna.confirm_default", "search.optuna.parallel")  # fmt: skip
"""What may change inside those parts."""


@dataclass(frozen=True)
class Prepared:
    """A study whose every input has been read and checked; `defaults` are those that a confirm stage runs."""

    study: Study
    plan: Plan
    model: ModelRef
    architecture: Architecture
    tasks: Mapping[str, TaskData]
    known: Identities
    defaults: Defaults

    def distinct(self, cell: Cell) -> Distinct:
        """Tells which configurations of a cell's method are one."""
        return Distinct(cell.method, self.architecture, self.tasks[cell.task].num_labels)

    def confirmed(self, cell: Cell, best: dict[str, Any]) -> list[dict[str, Any]]:
        """What a confirm stage runs: a cell's best configuration and, where that is another and it is asked for, the
        default."""
        default = self.defaults.get((cell.method, cell.task))
        return [best] if default is None or self.distinct(cell).same(best, default) else [best, default]


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
        return OneFile(data.file, HeldOut(data.validation, data.seed, data.group))
    if isinstance(data.validation, float):
        held_out = HeldOut(data.validation, data.seed or 0, data.group)
        return Hub(data.hub, data.config, data.revision, {"train": data.train}, held_out)
    return Hub(data.hub, data.config, data.revision, {"train": data.train, "validation": data.validation})


def prepare(study: Study, data: Path | None, precision: Precision = "fp32") -> Prepared:
    """Read model and data, check every cell; `precision` is what `auto` stands for. Raises an InputError with one
    message, before anything runs."""
    plan = Plan(study)
    model = resolve_model(study.model)
    architecture = read_architecture(model.folder)
    check_folder(model.folder, architecture)
    tasks = {one.name: load_task(one, data) for one in map(declared, study.tasks)}
    for loaded in tasks.values():
        check_own(loaded)
        check_weights(study, loaded.task, loaded.num_labels)
    num_labels = {name: found.num_labels for name, found in tasks.items()}
    check_methods(plan, architecture, num_labels, every=True)
    check_draws(plan, tasks)
    defaults = find_defaults(plan, architecture, num_labels)
    check_steps(plan, {name: len(found.train) for name, found in tasks.items()}, defaults)
    return Prepared(study, plan, model, architecture, tasks, identities(model, tasks, precision), defaults)


def identities(model: ModelRef, tasks: Mapping[str, TaskData], precision: Precision = "fp32") -> Identities:
    """What a study's names stand for, as read."""
    revisions = {name: Identity(name, _revision(found)) for name, found in tasks.items()}
    return Identities(Identity(model.name, model.revision), revisions, precision)


def _revision(found: TaskData) -> str:
    """What a task's results rest on: its version and data; of the user's own, also the metrics, the first of which
    chooses and scores; and the code of what comes from outside."""
    metrics = f":{'+'.join(found.task.metrics)}" if found.task.own else ""
    code = [TASKS.code(found.task.name), *map(metric_code, found.task.metrics)]
    outside = "".join(f":{one}" for one in code if one is not None)
    return f"{found.task.version}:{found.fingerprint}{metrics}{outside}"


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


def _check_draw(study: Study, name: str, found: TaskData, fraction: float) -> None:
    select, regression = study.select, found.task.kind == "regression"
    try:
        drawn = draw(
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
    if metric_code(found.task.metric) is not None:  # ours have a value
        _check_constant(found, drawn)


def _check_constant(found: TaskData, drawn: Draw) -> None:
    """Raise StudyError where the main metric has no value for a constant predictor: runs that collapse or diverge count
    as that, and a stand-in for it, such as 0, would be the best there is of a metric that is negative."""
    where = f"task {found.task.name!r}: metric {found.task.metric!r} of a constant prediction"
    labels = found.train.labels
    scored = (labels[drawn.select], found.score.labels)
    try:
        value = sum(majority_score(found.task.metrics, labels[drawn.fit], one) for one in scored)
    except Exception as error:  # whatever a plugin's code raises
        raise StudyError(f"{where} fails: {type(error).__name__}: {error}") from error
    if not math.isfinite(value):
        raise StudyError(
            f"{where} is {value}, and runs that collapse or diverge count as that: let it return a number, "
            "as a correlation returns 0"
        )


def claim_folder(folder: "ResultsFolder", study: Study) -> None:
    """Check that the folder is new or holds this study; raises ResultsError with the difference. Writes nothing."""
    from finebench.bench.study.load import build_study
    from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml

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
    return str(Path(model).resolve()) if truly(Path(model).is_dir) else model


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
