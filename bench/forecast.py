"""What `plan` and `methods` tell: counts in closed form, FLOPs and time estimated, without torch where the model
allows."""

import json
import math
from pathlib import Path
from typing import Any

from bench import cost
from bench.architecture import Architecture, read_architecture
from bench.errors import MethodError, ModelNotHere
from bench.estimate import CellEstimate, Size, cpu_speed, estimate, sizes, trial_seconds
from bench.hub import known_architecture, resolve_model
from bench.meter import cpu_count
from bench.methods import Method
from bench.plan import Cell, CellCount, Plan
from bench.prepare import check_alike, check_method, check_together, check_weights, declared, variations
from bench.registry import method, methods
from bench.sources import load_task
from bench.study import OwnTask, Study
from bench.study_file import method_resources
from bench.tasks import Hub


def find_architecture(model: str) -> Architecture:
    """A model's shape: from what is shipped for well-known ids (no network), else from its config."""
    return known_architecture(model) or read_architecture(resolve_model(model).folder)


def _size(entry: str | OwnTask, data: Path | None, max_length: int) -> Size:
    """How much data a task has: from its published size where it would have to be fetched, else by reading it."""
    found = declared(entry)
    hint = found.size_hint
    if isinstance(found.source, Hub) and data is None and hint is not None:
        labels = 1 if found.kind == "regression" else len(found.labels or ()) or 2
        tokens = min(hint.tokens, max_length)
        return Size(hint.train, hint.score, tokens, tokens**2 * 1.2, labels)
    return sizes({found.name: load_task(found, data)}, max_length)[found.name]


def forecast(study: Study, data: Path | None) -> dict[str, Any]:
    """Counts and estimates of a study as one JSON-ready document; what cannot be known is null, with a note why."""
    plan = Plan(study)
    notes: list[str] = []
    estimates = _estimates(plan, data, notes)
    per_method: dict[str, dict[str, Any]] = {}
    cells = []
    for count in plan.counts():
        one = estimates.get(count.cell)
        cells.append(_cell_row(count, one))
        _add(per_method, count, one)
    notes += _packs(study)
    total = _sum([row["seconds"] for row in per_method.values()])
    return {
        "study": study.name,
        "model": study.model,
        "trials": plan.count(),
        "cells": sum(1 for _ in plan.cells()),
        "methods": list(per_method.values()),
        "train_flops": _sum([row["train_flops"] for row in per_method.values()]),
        "seconds": None if total is None else total / cpu_count(),
        "cores": cpu_count(),
        "per_cell": cells,
        "notes": notes,
    }


def _packs(study: Study) -> list[str]:
    """How trials will be trained together, where the study gives a number."""
    asked = {name: method_resources(study, name).pack for name in study.methods}
    packed = {name: size for name, size in asked.items() if isinstance(size, int) and size > 1}
    said = ", ".join(f"{name} {size}" for name, size in packed.items())
    return [f"trained together after each cell's first seed, except in a search: {said}"] if packed else []


def _estimates(plan: Plan, data: Path | None, notes: list[str]) -> dict[Cell, CellEstimate]:
    study = plan.study
    try:
        architecture = find_architecture(study.model)
        found = {
            (entry if isinstance(entry, str) else entry.name): _size(entry, data, study.training.max_length)
            for entry in study.tasks
        }
    except ModelNotHere as error:
        notes.append(f"parameters, FLOPs and time are unknown: {error}")
        return {}
    for entry in study.tasks:
        check_weights(study, declared(entry), found[declared(entry).name].num_labels)
    notes += _ranges(plan, architecture, {name: size.num_labels for name, size in found.items()})
    return {cell: estimate(plan, cell, architecture, found[cell.task]) for cell in plan.cells()}


def _ranges(plan: Plan, architecture: Architecture, num_labels: dict[str, int]) -> list[str]:
    """What a method trains where that depends on its settings; raises MethodError where one of them cannot be used."""
    study, said = plan.study, list[str]()
    for name in study.methods:
        cells = [Cell(task, name, study.fractions[0], study.budget[0]) for task in study.task_names]
        for cell in cells:
            check_together(plan, cell, architecture)
        points = ((cell, plan.complete(cell, point)) for cell in cells for point in variations(plan.space(cell)))
        shapes = {json.dumps([point, num_labels[cell.task]]): (point, num_labels[cell.task]) for cell, point in points}
        counts = [check_method(name, point, architecture, labels) for point, labels in shapes.values()]
        for labels in {labels for _, labels in shapes.values()}:
            check_alike(name, [point for point, own in shapes.values() if own == labels], architecture, labels)
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


def method_table(model: str) -> tuple[list[dict[str, Any]], str]:
    """Every method with its trainable parameters on a model, and a note for the table's title."""
    try:
        architecture: Architecture | None = find_architecture(model)
        note = ""
    except ModelNotHere as error:
        architecture, note = None, f": {error}"
    rows = []
    for name, cls in methods().items():
        row: dict[str, Any] = {"name": name + ("<TYPE>" if name.endswith(":") else ""), "summary": cls.summary}
        row |= {"paper": cls.paper, "version": cls.version, "default_space": cls.default_space, "note": None}
        row |= {"defaults_from": cls.defaults_from, "hyperparameters": hyperparameters(cls)}
        row |= _counts(name, architecture)
        rows.append(row)
    return rows, note


def hyperparameters(cls: type[Method]) -> list[dict[str, Any]]:
    """What a study may set of a method: name, default, meaning."""
    fields = cls.model_fields.items()
    return [{"name": name, "default": field.default, "meaning": field.description} for name, field in fields]


def _counts(name: str, architecture: Architecture | None) -> dict[str, Any]:
    unknown: dict[str, Any] = dict.fromkeys(("trainable_params", "head_params", "total_params"))
    if architecture is None or name.endswith(":"):
        return unknown
    try:
        tuned = method(name)()
        tuned.check(architecture)
        counts = cost.count(tuned, architecture, 2)
    except MethodError as error:
        return unknown | {"note": str(error)}
    trained = counts.encoder + counts.head
    return {"trainable_params": trained, "head_params": counts.head, "total_params": counts.total}
