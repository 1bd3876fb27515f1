"""What `methods` tells of methods: hyperparameters, where they come from, what they train on a model."""

from typing import Any

from finebench.bench.cli.json_schema import type_words
from finebench.bench.driver.forecast import find_architecture
from finebench.bench.methods import Method, method, methods
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.architecture import Architecture
from finebench.bench.util.errors import MethodError, ModelNotHere


def method_table(model: str) -> tuple[list[dict[str, Any]], str]:
    """Every method with its trainable parameters on a model, and a note for the table's title."""
    architecture, note = _architecture(model)
    return [_describe(name, cls, architecture) for name, cls in methods().items()], note


def describe_method(name: str, model: str) -> tuple[dict[str, Any], str]:
    """One method, also a family or a member of one; raises MethodError where there is no such one."""
    family = methods().get(name.removesuffix("<TYPE>")) if name.endswith((":", "<TYPE>")) else None
    cls = family or method(name)
    architecture, note = _architecture(model)
    return _describe(cls.name, cls, architecture), note


def _architecture(model: str) -> tuple[Architecture | None, str]:
    try:
        return find_architecture(model), ""
    except ModelNotHere as error:
        return None, f": {error}"


def _describe(name: str, cls: type[Method], architecture: Architecture | None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name + ("<TYPE>" if name.endswith(":") else ""), "summary": cls.summary}
    row |= {"paper": cls.paper, "version": cls.version, "default_space": cls.default_space, "note": None}
    row |= {"defaults_from": cls.defaults_from, "hyperparameters": hyperparameters(name, cls)}
    return row | _counts(name, architecture)


def hyperparameters(name: str, cls: type[Method]) -> list[dict[str, Any]]:
    """What a study may set of a method: name, type and range in words, default, meaning. Options of a
    library's own have no more than their defaults."""
    found = []
    for key, spec in cls.model_json_schema()["properties"].items():
        row = {
            "name": key,
            "type": type_words(spec),
            "default": spec.get("default"),
            "meaning": spec.get("description"),
        }
        found.append(row)
    others = {} if name.endswith(":") else cls.options()
    return found + [
        {"name": key, "type": "", "default": one.get("default"), "meaning": None} for key, one in others.items()
    ]


def _counts(name: str, architecture: Architecture | None) -> dict[str, Any]:
    unknown: dict[str, Any] = dict.fromkeys(("trainable_params", "head_params", "total_params"))
    if architecture is None or name.endswith(":"):
        return unknown
    try:
        tuned = method(name)()
        tuned.check(architecture)
        counts = method_cost.count(tuned, architecture, 2)
    except MethodError as error:
        return unknown | {"note": str(error)}
    trained = counts.encoder + counts.head
    return {"trainable_params": trained, "head_params": counts.head, "total_params": counts.total}
