"""A value that a method writes otherwise than a study does lies in the study nonetheless, for every method."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from finebench.bench.methods import Method, method, methods
from finebench.bench.models.module_roles import ROLES
from finebench.bench.results.scope import Scope
from finebench.bench.study.plan import Plan
from finebench.bench.study.search_space import Space
from finebench.bench.util.errors import FinebenchError
from tests.bench.driver.test_changed_study import ran, status
from tests.bench.tiny import tiny_study

SEARCH: dict[str, Any] = {"optuna": {"trials": 3, "seeds": 1, "confirm_seeds": 1}}
TEXTS = ("value+key", "output+query", "intermediate+query", "+".join(reversed(ROLES)))
FAMILY: dict[str, list[dict[str, Any]]] = {
    "peft:LOHA": [
        {"layers_to_transform": [[1]]},
        {"layers_to_transform": [[1], [1, 0]], "target_modules": [["value", "query"]]},
        {"r": [8, 4], "alpha": [8.0, 3]},
        {"r": {"int": [6, 9]}},
    ],
    "peft:LOKR": [{"layers_to_transform": {"choice": [[1], [0]]}, "exclude_modules": [["value", "key"]]}],
}


def single(name: str) -> Iterator[dict[str, Any]]:
    """Spaces of one hyperparameter: values that it may have, written in each way that is allowed."""
    cls: type[Method] = method(name)
    for key, field in cls.model_fields.items():
        choices = [one for part in (field.annotation, *get_args(field.annotation)) for one in get_args(part)]
        plain = [*TEXTS, *(one for one in choices if isinstance(one, str)), True, None, 2, 64, 0.25]
        for value in dict.fromkeys([field.default, *plain]):
            with suppress(ValidationError, FinebenchError):  # not a value of this hyperparameter
                cls.model_validate({key: value})
                yield {key: value}
                if isinstance(value, int | float) and not isinstance(value, bool):
                    yield {key: {"int": [1, 4]}}


def spaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each method's spaces, those that it takes."""
    for name in [name for name in methods() if not name.endswith(":")]:
        for space in single(name):
            yield name, space
        for variant in ("houlsby", "parallel") if name == "adapter" else ():
            yield name, {"variant": variant, "bottleneck": {"int": [60, 66]}}
            yield name, {"variant": variant, "bottleneck": {"choice": [64, 32]}, "non_linearity": ["gelu", "relu"]}
    for name, given in FAMILY.items():
        yield from ((name, space) for space in given)
    for key in ("weight_decay", "warmup", "batch_size"):
        yield "full", {key: {"int": [1, 2]}} if key == "warmup" else {key: {"int": [1, 4]}}


def points(space: Space) -> list[dict[str, Any]]:
    """Every point, of a range of whole numbers all."""
    values = {key: tuple(map(d.option, range(d.options or 0))) for key, d in space.distributions.items()}
    return list(Space({**space.grids, **values}, {}).points())


def test_every_value_that_is_taken_lies_in_the_space_that_holds_it() -> None:
    tried: dict[str, int] = {}
    for name, space in spaces():
        drawn = any(isinstance(one, dict) for one in space.values())
        for search in (SEARCH,) if drawn else (SEARCH, {"grid": {}}):
            try:
                plan = Plan(tiny_study(methods={name: {"lr": 1e-3} | space}, search=search))
                cell = next(plan.cells())
                given = points(plan.space(cell))
                made = [plan.complete(cell, point) for point in given]
            except FinebenchError:  # an end of the range is none
                continue
            scope = Scope(plan)
            for point, configuration in zip(given, made, strict=True):
                found = scope.point(cell, configuration)
                assert found is not None, (name, space, point, configuration)
                assert plan.complete(cell, found) == configuration
                assert found.keys() == point.keys()
                assert all(
                    isinstance(found[key], int) for key, d in plan.space(cell).distributions.items() if d.kind == "int"
                )
                tried[name] = tried.get(name, 0) + 1
    assert tried.keys() >= {name for name in methods() if not name.endswith(":")} | FAMILY.keys()


@pytest.mark.parametrize(
    "changes",
    [
        {"methods": {"bitfit": {"lr": [1e-3, 1e-2], "terms": "intermediate+query"}}, "seeds": 2},
        {"methods": {"lora": {"lr": 1e-3, "target": ["query+value", "value+key"]}}, "seeds": 2},
        {"methods": {"lora": {"lr": {"loguniform": [1e-4, 1e-2]}, "alpha": {"int": [8, 32]}}}, "search": SEARCH},
        {"methods": {"full": {"lr": {"loguniform": [1e-4, 1e-2]}, "weight_decay": {"int": [0, 3]}}}, "search": SEARCH},
        {
            "methods": {"lora": {"lr": {"loguniform": [1e-4, 1e-2]}, "target": {"choice": ["value+key", "key+query"]}}},
            "search": SEARCH,
        },
    ],
    ids=["terms", "targets", "int of a float", "int of an option", "choice"],
)
def test_a_run_goes_on_from_what_is_there(tmp_path: Path, changes: dict[str, Any]) -> None:
    """Nothing is outside, nothing is pending, and what a search has suggested is not suggested anew."""
    ran(tmp_path, **changes)
    files = {str(one.relative_to(tmp_path)): one.read_bytes() for one in (tmp_path / "search").rglob("*.json")}
    for _ in range(2):
        stand = status(str(tmp_path))
        assert (stand["pending"], stand["outside"]) == (0, 0)
        assert stand["ok"] > 0
        ran(tmp_path, **changes)
    assert {str(one.relative_to(tmp_path)): one.read_bytes() for one in (tmp_path / "search").rglob("*.json")} == files


def test_a_default_that_keeps_a_rewritten_value_is_the_default() -> None:
    """Confirm stages run the default with what it cannot do without, if the space fixes that."""
    study = tiny_study(
        methods={"peft:LOHA": {"lr": [1e-2, 1e-3], "layers_to_transform": [[1]]}}, search={"grid": {"confirm_seeds": 1}}
    )
    plan = Plan(study)
    cell = next(plan.cells())
    kept = plan.default(cell, plan.fixed(cell))
    assert kept["layers_to_transform"] == 1
    assert Scope(plan)._told_default(cell.task, cell.method, json.dumps(kept, sort_keys=True))
