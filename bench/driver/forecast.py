"""What `plan` and `methods` tell: counts in closed form, FLOPs and time estimated, without torch where the model
allows."""

import math
from pathlib import Path
from typing import Any, NamedTuple

from finebench.bench.data.facts import facts
from finebench.bench.data.leakage import check_own
from finebench.bench.data.task_data import TaskData, load_task
from finebench.bench.driver import preflight
from finebench.bench.driver.validate import check_draws, check_weights, declared, identities
from finebench.bench.models.architecture import Architecture, read_architecture
from finebench.bench.models.checkpoint_checks import check_folder
from finebench.bench.models.hub import known_architecture, resolve_model
from finebench.bench.study.claim_needs import needs
from finebench.bench.study.configurations import Defaults, check_methods, check_steps, find_defaults
from finebench.bench.study.estimate import CellEstimate, Size, cpu_speed, estimate, sizes, trial_seconds
from finebench.bench.study.load import method_resources
from finebench.bench.study.plan import Cell, CellCount, Plan
from finebench.bench.study.precision import AMX, Precision, gpus_here, has_amx, resolve
from finebench.bench.study.schema import Study
from finebench.bench.study.unsettled import Seconds, unsettled
from finebench.bench.study.waves import Waves, in_waves
from finebench.bench.tasks import Hub, Task
from finebench.bench.util.cores import cores
from finebench.bench.util.errors import InputError, ModelNotHere

SMALL = 100_000_000
"""Bytes of a model folder up to which a plan tries model and methods as `run` does, within some seconds."""


def find_architecture(model: str) -> Architecture:
    """A model's shape: from what is shipped for well-known ids (no network), else from its config."""
    return known_architecture(model) or read_architecture(resolve_model(model).folder)


def _published(found: Task, data: Path | None, max_length: int) -> Size | None:
    """A task's published size, where its data would have to be fetched; None: they are read."""
    hint = found.size_hint
    if not isinstance(found.source, Hub) or data is not None or hint is None:
        return None
    labels = 1 if found.kind == "regression" else len(found.labels or ()) or 2
    tokens = min(hint.tokens, max_length)
    return Size(hint.train, hint.score, tokens, tokens**2 * 1.2, labels)


def _read(plan: Plan, data: Path | None, notes: list[str]) -> dict[str, TaskData]:
    """The data of all tasks that are not to be fetched, checked as a run checks them."""
    found: dict[str, TaskData] = {}
    for one in map(declared, plan.study.tasks):
        if _published(one, data, plan.study.training.max_length) is None:
            found[one.name] = load_task(one, data)
            check_own(found[one.name])
        else:
            notes.append(f"{one.name}: its size is the published one; a run fetches its data and checks them")
    check_draws(plan, found)
    return found


def forecast(study: Study, data: Path | None, slots: int | None = None) -> dict[str, Any]:
    """Counts and estimates of a study as one JSON-ready document; what cannot be known is null, with a note why.
    `slots` asks for its time on so many."""
    plan = Plan(study)
    notes: list[str] = []
    read = _read(plan, data, notes)
    precision = _precision(study, notes)
    known = _known(study, data, read, notes)
    estimates = _estimates(plan, known, read, precision or "fp32", notes)
    per_method: dict[str, dict[str, Any]] = {}
    cells = []
    for count in plan.counts():
        one = estimates.get(count.cell)
        cells.append(_cell_row(count, one))
        _add(per_method, count, one)
    notes += [*_packs(study), *_held(study)]
    total = _sum([row["seconds"] for row in per_method.values()])
    return {
        "study": study.name,
        "model": study.model,
        "precision": precision,
        "trials": plan.count(),
        "cells": sum(1 for _ in plan.cells()),
        "tasks": {name: facts(found) for name, found in read.items()},
        "methods": list(per_method.values()),
        "train_flops": _sum([row["train_flops"] for row in per_method.values()]),
        "seconds": None if total is None else total / cores(),
        "cores": cores(),
        "on_slots": _on_slots(plan, estimates, slots, notes),
        "per_cell": cells,
        "waves": _waves(plan, cells),
        "no_verdict": unsettled(plan, _seconds(known, estimates), cores()),
        "notes": notes,
    }


def _on_slots(
    plan: Plan, estimates: dict[Cell, CellEstimate], slots: int | None, notes: list[str]
) -> dict[str, Any] | None:
    if slots is None or not estimates:
        return None
    from finebench.bench.scheduling.simulation.simulated_plan import MOST, on_slots

    if plan.count() > MOST:
        notes.append(f"--slots: at most {MOST:,} trials are simulated, and the study has {plan.count():,}")
        return None
    return on_slots(plan, {cell: trial_seconds(one, cpu_speed()) for cell, one in estimates.items()}, slots, cores())


def _precision(study: Study, notes: list[str]) -> Precision | None:
    """What trials would train in on this machine; None, with a note, where that is decided where they run."""
    try:
        found = resolve(study, lambda: [gpus] if (gpus := gpus_here()).count else [])
    except InputError as error:
        notes.append(str(error))
        return None
    notes += found.notes
    if found.precision == "fp32" and not found.notes and has_amx():
        notes.append(AMX)
    return found.precision


def no_verdict(study: Study, data: Path | None) -> list[dict[str, Any]]:
    """The claims that cannot get a verdict, as `forecast` has them; reads no data where all of them can."""
    plan = Plan(study)
    if not needs(study):
        return []
    known = _known(study, data, _read(plan, data, []), [])
    return unsettled(plan, _seconds(known, {}), cores())


def _packs(study: Study) -> list[str]:
    """How trials will be trained together, where the study gives a number."""
    asked = {name: method_resources(study, name).pack for name in study.methods}
    packed = {name: size for name, size in asked.items() if isinstance(size, int) and size > 1}
    said = ", ".join(f"{name} {size}" for name, size in packed.items())
    notes = [f"trained together after the first seed of each cell and shape, except in a search: {said}"]
    ranked = [
        f"{name} {one.number}{' in shards' if one.shard == 'full' else ''}"
        for name, one in ((name, method_resources(study, name)) for name in study.methods)
        if one.number > 1
    ]
    of_ranks = f"on several ranks, whose time is foreseen as if their messages took none: {', '.join(ranked)}"
    return (notes if packed else []) + ([of_ranks] if ranked else [])


def _waves(plan: Plan, rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The looks of a study whose seeds come until its claims are settled: trials and seconds where the first of them
    settles all, and where the last is needed; `rows`: of its cells."""
    study = plan.study
    if study.waves is None:
        return None
    first = Waves(study, [cell.key for cell in plan.cells()], lambda look: ())
    least = [row | {"trials": count.planned} for row, count in zip(rows, plan.counts(first), strict=True)]
    return {"looks": list(study.waves.schedule), "fewest": _all(least), "expected": None, "most": _all(rows)}


def _all(rows: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = _sum([None if row["seconds"] is None else row["seconds"] * row["trials"] for row in rows])
    return {"trials": sum(row["trials"] for row in rows), "seconds": None if seconds is None else seconds / cores()}


def _held(study: Study) -> list[str]:
    """The claims that a rate of collapse may hold up at looks before the last."""
    whole = [one.id for one in study.claims if in_waves(study, one) and one.kind.shaken_by_collapse(one)]
    said = (
        f"{', '.join(whole)}: an interim analysis before the last decides only what a rate of collapse that its runs "
        "do not exclude could not undo; with given: not_collapsed, beside a claim that says collapses_more, it may "
        "stop sooner"
    )
    return [said] if whole else []


class Known(NamedTuple):
    """What estimates rest on: the model's shape, and the size of each task's data."""

    architecture: Architecture
    sizes: dict[str, Size]


def _known(study: Study, data: Path | None, read: dict[str, TaskData], notes: list[str]) -> Known | None:
    """None, with a note, where the model is not here."""
    try:
        architecture = find_architecture(study.model)
        if known_architecture(study.model) is None:
            check_folder(resolve_model(study.model).folder, architecture)
    except ModelNotHere as error:
        notes.append(f"parameters, FLOPs and time are unknown: {error}")
        return None
    most = study.training.max_length
    published = {one.name: _published(one, data, most) for one in map(declared, study.tasks)}
    found = sizes(read, most) | {name: size for name, size in published.items() if size is not None}
    return Known(architecture, found)


def _estimates(
    plan: Plan, known: Known | None, read: dict[str, TaskData], precision: Precision, notes: list[str]
) -> dict[Cell, CellEstimate]:
    if known is None:
        return {}
    for entry in map(declared, plan.study.tasks):
        check_weights(plan.study, entry, known.sizes[entry.name].num_labels)
    num_labels = {name: size.num_labels for name, size in known.sizes.items()}
    notes += _ranges(plan, known.architecture, num_labels)
    defaults = find_defaults(plan, known.architecture, num_labels)
    check_steps(plan, {name: size.train for name, size in known.sizes.items()}, defaults)
    notes += _tried(plan, known.architecture, read, defaults, precision)
    return {cell: estimate(plan, cell, known.architecture, known.sizes[cell.task]) for cell in plan.cells()}


def _seconds(known: Known | None, made: dict[Cell, CellEstimate]) -> Seconds:
    """Seconds of a trial, those of cells not in `made` estimated anew; not known without the model, or of a task that
    the study does not have."""

    def seconds(plan: Plan, cell: Cell) -> float | None:
        if known is None or cell.task not in known.sizes:
            return None
        one = made.get(cell) or estimate(plan, cell, known.architecture, known.sizes[cell.task])
        return _finite(trial_seconds(one, cpu_speed()))

    return seconds


def _tried(
    plan: Plan, architecture: Architecture, tasks: dict[str, TaskData], defaults: Defaults, precision: Precision
) -> list[str]:
    """Try model and methods as `run` does, where the model is a small folder and the data are here; else say that it
    was not done. Raises an InputError where they cannot work."""
    model = plan.study.model
    later = (
        "`run` loads it, and takes a step of each method on the shortest and the longest row, before its first trial"
    )
    if known_architecture(model) is not None or len(tasks) < len(plan.study.tasks):
        return [f"model {model} was not tried: {later}"]
    if preflight.shipped(plan, tasks):
        return []
    found = resolve_model(model)
    check_folder(found.folder, architecture)
    asked = preflight.question(plan, identities(found, tasks, precision), found.folder, tasks, defaults)
    if preflight.passed(asked):
        return []
    if sum(path.stat().st_size for path in found.folder.iterdir() if path.is_file()) > SMALL:
        return [f"model {model}: its files are there, it was not tried: {later}"]
    with preflight.Child(asked) as child:
        child.wait()
    return []


def _ranges(plan: Plan, architecture: Architecture, num_labels: dict[str, int]) -> list[str]:
    """What a method trains where that depends on its settings; raises MethodError where one of them cannot be used."""
    said = []
    for name, counts in check_methods(plan, architecture, num_labels, every=False).items():
        low, high = min(one.encoder for one in counts), max(one.encoder for one in counts)
        if low < high:
            said.append(f"{name} trains from {low:,} to {high:,} parameters of the encoder, depending on its settings")
    return said


def _cell_row(count: CellCount, one: CellEstimate | None) -> dict[str, Any]:
    cell = count.cell
    return {
        "task": cell.task,
        "method": cell.method,
        "fraction": cell.fraction,
        "budget": cell.budget.canonical,
        "stage": count.stage,
        "trials": count.planned,
        "configurations": count.configurations,
        "steps": one.steps if one else None,
        "train_flops": _finite(one.train_flops) if one else None,
        "seconds": _finite(trial_seconds(one, cpu_speed())) if one else None,
    }


def _add(rows: dict[str, dict[str, Any]], count: CellCount, one: CellEstimate | None) -> None:
    """Add a cell's trials to its method's ledger."""
    name = count.cell.method
    blank = {"name": name, "configurations": 0, "trials": 0, "train_flops": 0.0, "seconds": 0.0}
    row = rows.setdefault(name, blank | dict.fromkeys(("trainable_params", "head_params", "total_params")))
    row["trials"] += count.planned
    if count.stage != "confirm":
        row["configurations"] += count.configurations
    if one is None:
        row["train_flops"] = row["seconds"] = None
        return
    row["trainable_params"] = max(row["trainable_params"] or 0, one.trainable_params)
    row["head_params"] = max(row["head_params"] or 0, one.head_params)
    row["total_params"] = max(row["total_params"] or 0, one.total_params)
    for key, value in (("train_flops", one.train_flops), ("seconds", trial_seconds(one, cpu_speed()))):
        row[key] = None if row[key] is None or not math.isfinite(value) else row[key] + value * count.planned


def _sum(values: list[float | None]) -> float | None:
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
