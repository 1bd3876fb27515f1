"""The finished trials of a results folder that belong to its study (`bench.results.scope`), for drivers and for
readers."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from finebench.bench.results.folder import Done
from finebench.bench.results.scope import Row, Scope
from finebench.bench.study.load import build_study
from finebench.bench.study.plan import Plan
from finebench.bench.study.precision import apart, of_row
from finebench.bench.study.trial_id import CellKey
from finebench.bench.util.errors import InputError
from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml
from finebench.bench.util.storage import Store

T = TypeVar("T")


def within(scope: Scope, done: Mapping[T, Done]) -> dict[T, Done]:
    """Those that are part of the study, each with its configuration and seed as the study writes them."""
    rows = (Row(d.stage, d.cell, d.configuration, d.seed, d.status, d.select_score) for d in done.values())
    return {
        key: one
        if (one.configuration, one.seed) == place
        else replace(one, configuration=place.configuration, seed=place.seed)
        for (key, one), place in zip(done.items(), scope.places(rows), strict=True)
        if place is not None
    }


@dataclass(frozen=True)
class Stored:
    """What a folder's study.yaml and plan.json say of membership; `unknown` is why that cannot be told here."""

    scope: Scope | None
    unknown: str | None = None

    @property
    def precision(self) -> str:
        """What the study writes; auto where it cannot be read here."""
        return "auto" if self.scope is None else self.scope.plan.study.training.precision


def stored_scope(store: Store, plan: Mapping[str, Any] | None) -> Stored:
    """The scope of a folder's study; `plan` is its plan.json. A study of methods or tasks that are not installed here
    has none that could be told."""
    data = store.read_bytes("study.yaml", MAX_BYTES)
    if data is None or plan is None:
        return Stored(None, f"there is no {'plan.json' if data else 'study.yaml'}")
    where = store.shown("study.yaml")
    try:
        return Stored(scope_of(parse_yaml(data.decode("utf-8", errors="replace"), where), where, plan))
    except InputError as error:
        return Stored(None, str(error))


def scope_of(study: Any, where: str, plan: Mapping[str, Any]) -> Scope:
    """The same of a parsed study.yaml; raises InputError where it is no study here."""
    listed = frozenset((_key(cell), cell["stage"]) for cell in plan["cells"])
    return Scope(Plan(build_study(study, where, Path("."))), beyond(plan), listed)


def beyond(plan: Mapping[str, Any]) -> dict[CellKey, frozenset[str]]:
    """The configurations that each cell's search suggested when it had more trials, as a plan.json tells them."""
    return {_key(cell): frozenset(cell["beyond"]) for cell in plan["cells"] if cell.get("beyond")}


def _key(cell: Mapping[str, Any]) -> CellKey:
    return cell["task"], cell["method"], cell["fraction"], cell["budget"]


def outside_note(number: int) -> str:
    """What is said of trials that a folder holds and its study no longer contains."""
    held = f"{number:,} trial{'s' * (number > 1)} in the folder {'are' if number > 1 else 'is'} not part of the study"
    return f"{held} as it is now (of a method, task, seed, value or range that it had before): kept, and not counted"


def same(done: dict[tuple[str, bool], Done], written: str, now: str) -> tuple[dict[tuple[str, bool], Done], list[str]]:
    """The stored trials of a study that says `written` which are of the precision that it trains in `now`, and a
    sentence on the others."""
    found = {key: of_row(row.precision, row.device, written) for key, row in done.items()}
    others = Counter(precision for precision in found.values() if precision != now)
    return {key: row for key, row in done.items() if found[key] == now}, apart(others, now)
