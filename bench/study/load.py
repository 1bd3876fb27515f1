"""Read a study file: parsed by `bench.util.safe_yaml`, overridden, checked whole, with errors that name file and
key."""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from finebench.bench.methods import code as method_code
from finebench.bench.methods import method
from finebench.bench.metrics import code as metric_code
from finebench.bench.metrics import metric
from finebench.bench.study.claim_seeds import with_enough_seeds
from finebench.bench.study.findings import RESERVED, word
from finebench.bench.study.parts.claim import COSTS, Claim
from finebench.bench.study.parts.claim_kinds import KINDS
from finebench.bench.study.parts.own_task import DataFiles, DataSplit, OwnTask
from finebench.bench.study.parts.training import Resources, Training, split_point
from finebench.bench.study.plugins import check_loaded, load_given, load_named
from finebench.bench.study.schedules import SCHEDULES
from finebench.bench.study.schema import Study
from finebench.bench.study.search_space import Space, parse_space
from finebench.bench.tasks import TASKS, task, tasks
from finebench.bench.util.doors import plugins
from finebench.bench.util.errors import InputError, MethodError, StudyError, choose, shown
from finebench.bench.util.places import truly
from finebench.bench.util.safe_yaml import MAX_BYTES, override_key, parse_yaml

SPACES = Path(str(files("finebench"))) / "search_spaces"


def known_studies() -> dict[str, Path]:
    """Files of the studies that go by a bare name; one in the working directory's search_spaces/ hides a built-in.

    The template that `finebench new` copies is found by its name, and asks no question.
    """
    folders = [folder for folder in (Path("search_spaces"), SPACES) if folder.is_dir()]
    return {file.stem: file for folder in reversed(folders) for file in sorted(folder.glob("*.yaml"))}


def find_study(name: str) -> Path:
    """The file of a study given by path, or by the bare name of a file in search_spaces/."""
    path = Path(name)
    if truly(path.is_file):
        return path
    known = known_studies()
    if name in known:
        return known[name]
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise StudyError(f"study file {name!r} does not exist; built-in studies: {', '.join(sorted(known))}")
    raise StudyError(choose("study", name, known))


def load_study(
    name: str, overrides: Iterable[str] = (), model: str | None = None, plugins: Iterable[str] = ()
) -> Study:
    """Read, override and check a study; its plugins are loaded, and those that are given besides.

    Raises StudyError or MethodError with one message for all that is wrong.
    """
    path = find_study(name)
    raw = parse_yaml(_read(path), str(path))
    load_given(plugins)
    if isinstance(raw, dict) and "model" in raw:
        raw["model"] = _model(raw["model"], path.parent)
    for override in overrides:
        override_key(raw, override)
    if model is not None and isinstance(raw, dict):
        raw["model"] = model
    raw = load_named(raw, path.parent, str(path))
    return build_study(raw, str(path), path.parent)


def _model(given: Any, folder: Path) -> Any:
    """A model as the working directory has it: a relative path in a study is taken from the study's folder."""
    if not isinstance(given, str) or Path(given).is_absolute() or given.startswith("~"):
        return given
    named, beside = given.startswith("."), truly((folder / given).is_dir)
    if not (named or beside) or (folder.resolve() / given).resolve() == Path(given).resolve():
        return given  # a hub id, or the study lies in the working directory
    path = os.path.relpath((folder / given).resolve())
    return path if path.startswith("..") else f"./{path}"


def _read(path: Path) -> str:
    """The file's text, of which no more is read than a study may have."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise StudyError(f"study file {str(path)!r}: a study file has at most {MAX_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"study file {str(path)!r} cannot be read: {error}") from error


def build_study(raw: Any, where: str, folder: Path) -> Study:
    """Validate a parsed study; relative data paths are taken from `folder`; seeds left out are enough for claims."""
    if not isinstance(raw, dict):
        raise StudyError(f"{where}: a study is a mapping with the keys {', '.join(Study.model_fields)}")
    try:
        check_loaded(raw, where)
        study = Study.model_validate(raw)
    except ValidationError as error:
        raise StudyError(word(error, where)) from error
    study = study.model_copy(update={"tasks": [_absolute(entry, folder) for entry in study.tasks]})
    study = with_enough_seeds(study)
    check(study, where)
    return study


def _absolute(entry: str | OwnTask, folder: Path) -> str | OwnTask:
    if isinstance(entry, str):
        return entry
    paths = {key: str((folder / path).resolve()) for key, path in entry.data if key in _paths(entry.data)}
    return entry.model_copy(update={"data": entry.data.model_copy(update=paths)})


def _paths(data: BaseModel) -> tuple[str, ...]:
    """Which keys of a task's data are paths."""
    return {DataFiles: ("train", "validation"), DataSplit: ("file",)}.get(type(data), ())


def spaces(study: Study, name: str, where: str = "study") -> dict[str, Space]:
    """The space of method `name` for each task of the study (they differ only where `per_task` says so)."""
    raw = study.methods[name]
    common = {key: value for key, value in raw.items() if key not in RESERVED}
    own = raw.get("per_task", {})
    at = f"{where}: methods.{name}"
    if not isinstance(own, Mapping):
        raise StudyError(f"{at}.per_task: a mapping of task to hyperparameters is needed")
    names = set(study.task_names)
    for given, value in own.items():
        if given not in names:
            raise StudyError(f"{at}.per_task: {choose('task', str(given), names)}")
        if not isinstance(value, Mapping):
            raise StudyError(f"{at}.per_task.{given}: a mapping of hyperparameters is needed, not {shown(value)}")
    plural = _within(at, lambda one: method(one).plural(), name)
    shared = parse_space(common, at, plural)
    return {t: parse_space(common | dict(own[t]), at, plural) if t in own else shared for t in study.task_names}


def method_resources(study: Study, name: str, where: str = "study") -> Resources:
    """What a trial of this method and the study's model gets: the study's resources, overridden by the model's, by the
    method's own and by those of the model in these."""
    own = study.methods[name].get("resources", {})
    if not isinstance(own, Mapping):
        raise StudyError(f"{where}: methods.{name}.resources: a mapping is needed, e.g. {{gpu: 0.5}}")
    at = "resources"
    try:
        shared = study.resources.of(study.model).model_dump(exclude={"per_model"})
        at = f"methods.{name}.resources"
        return Resources.model_validate(shared | dict(own)).of(study.model)
    except ValidationError as error:
        raise StudyError(word(error, where, at, Resources)) from error


def check(study: Study, where: str) -> None:
    """Check what needs the registries: task and method names, every hyperparameter value, claims, and that the plugins
    are named that all this comes from."""
    _unique("tasks", study.task_names, where)
    _unique("fractions", study.fractions, where)
    _unique("budget", [budget.canonical for budget in study.budget], where)
    for index, entry in enumerate(study.tasks):
        if isinstance(entry, str):
            found = _within(f"{where}: tasks[{index}]", task, entry)
            if not metric(found.metric).main:
                raise StudyError(f"{where}: tasks[{index}]: a constant predictor gets the best {found.metric} there is")
        names = found.metrics if isinstance(entry, str) else entry.metric
        at = f"{where}: tasks[{index}]" + ("" if isinstance(entry, str) else ".metric")
        for name in names:
            _within(at, metric, name)
    for name in study.methods:
        cls = _within(f"{where}: methods", method, name)
        _check_ranks(study, name, method_resources(study, name, where), where)
        for space in {id(s): s for s in spaces(study, name, where).values()}.values():
            _check_space(study, cls, space, f"{where}: methods.{name}")
    _unique("claims", [claim.id for claim in study.claims], where)
    names = set(study.task_names)
    for index, claim in enumerate(study.claims):
        check_claim(claim, study.methods, names, f"{where}: claims[{index}]")
    _check_named(study, where)


def _check_ranks(study: Study, name: str, asked: Resources, where: str) -> None:
    """Raise StudyError where a method's trials cannot be divided among the ranks that it asks for."""
    if asked.number > study.training.batch_size:
        raise StudyError(
            f"{where}: methods.{name}: {asked.number} ranks divide each batch of training.batch_size: "
            f"{study.training.batch_size}; ask for no more ranks than that"
        )
    if asked.shard == "full" and method(name).prepays:
        raise StudyError(
            f"{where}: resources.shard: full divides what is trained, and {name!r} reads its encoder once, on each "
            f"rank; write methods.{name}.resources.shard: none"
        )


def _check_named(study: Study, where: str) -> None:
    """Raise StudyError for what is of a plugin that is loaded and not named: a stored study would not say that it rests
    on it. A process loads plugins for other studies too, and `--plugin` gives those that a stored study names."""
    named = {plugin.hash for plugin in study.plugins}
    others = {plugin.hash: plugin.file for plugin in plugins() if plugin.hash not in named}
    for what, name, code in _parts(study):
        if code in others:
            file = others[code]
            raise StudyError(
                f"{where}: {what} {name!r} is of {file}, which the study does not name: "
                f"plugins: [./{os.path.basename(file)}]"
            )


def _parts(study: Study) -> Iterator[tuple[str, str, str | None]]:
    """What of a study there is a door for: its kind, its name, and the hash of its file where that is not ours."""
    for name in study.methods:
        yield "method", name, method_code(name)
    for entry in study.tasks:
        if isinstance(entry, str):
            yield "task", entry, TASKS.code(entry)
        for metric_name in task(entry).metrics if isinstance(entry, str) else entry.metric:
            yield "metric", metric_name, metric_code(metric_name)
    yield "schedule", study.training.schedule, SCHEDULES.code(study.training.schedule)
    for claim in study.claims:
        yield "kind of claim", claim.says, KINDS.code(claim.says)


def check_claim(claim: Claim, methods: Collection[str], names: set[str], at: str) -> None:
    """Raise StudyError where a claim names a method, cost or task (`names`: the study's) that there is not.

    Names only: a claim about a fraction or budget that an override took out is no mistake; it gets no verdict.
    """
    for side in (claim.a, claim.b):
        if side is not None and side not in methods:
            raise StudyError(f"{at}: {choose('method', side, methods)}")
    if claim.cost is not None and claim.cost not in COSTS:
        raise StudyError(f"{at}.cost: {choose('cost', claim.cost, COSTS)}")
    if claim.a == claim.b:
        raise StudyError(f"{at}: {claim.a!r} is compared with itself")
    for name in claim.tasks if isinstance(claim.tasks, list) else ():
        if name not in names and name not in tasks():
            raise StudyError(f"{at}.tasks: {choose('task', name, names)}")


def _within(where: str, look_up: Any, name: str) -> Any:
    try:
        return look_up(name)
    except InputError as error:
        raise StudyError(f"{where}: {error}") from error


def _unique(key: str, values: list[Any], where: str) -> None:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            raise StudyError(f"{where}: {key}: {shown(value)} stands twice")
        seen.add(value)


def _check_space(study: Study, cls: Any, space: Space, at: str) -> None:
    if space.distributions and study.search.optuna is None:
        key = next(iter(space.distributions))
        raise StudyError(f"{at}.{key}: a distribution needs search: {{optuna: …}}; a grid is a list of values")
    first = next(space.points())
    ends = {key: d.values for key, d in space.distributions.items()}
    start = first | {key: values[0] for key, values in ends.items()}
    _check_point(study, cls, start, at)
    for key, values in {**space.grids, **ends}.items():
        for value in values:
            _check_point(study, cls, start | {key: value}, at)


def _check_point(study: Study, cls: Any, point: Mapping[str, Any], at: str) -> None:
    """The method's own hyperparameters, and the study's training options with those of the point."""
    own, options = split_point(point)
    make_method(cls, own, at)
    tuned_training(study, options, at)


def tuned_training(study: Study, options: Mapping[str, Any], at: str) -> Training:
    """The study's training options with those of a method's space; raises StudyError naming the key."""
    try:
        return Training.model_validate(study.training.model_dump() | dict(options))
    except ValidationError as error:
        where, _, prefix = at.partition(": ")
        raise StudyError(word(error, where, prefix, Training)) from error


def make_method(cls: Any, hyperparameters: Mapping[str, Any], at: str) -> Any:
    """Build a method from one point of its space, written canonically; raises StudyError naming key and choices."""
    try:
        return cls(**hyperparameters).canonical()
    except ValidationError as error:
        where, _, prefix = at.partition(": ")
        raise StudyError(word(error, where, prefix, cls)) from error
    except MethodError as error:
        raise StudyError(f"{at}: {error}") from error
