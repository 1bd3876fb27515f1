"""What a study no longer contains counts for nothing: for any two studies, what one ran and the other plans."""

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finebench.bench.results.folder import Done
from finebench.bench.results.scope import Scope
from finebench.bench.results.within import scope_of, within
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.schema import Study
from finebench.bench.study.search_space import Space
from finebench.bench.study.trial_id import Identity, Trial
from finebench.bench.util.errors import StudyError
from tests.bench.scheduling.test_scheduler import done_row
from tests.bench.tiny import drain, tiny_study

TASKS = ("mini-cola", "mini-mrpc")
KNOWN = Identities(Identity("m", "r"), {name: Identity(name, "1:x") for name in TASKS})


def some(values: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(values), min_size=1, unique_by=str)


SPACES = {
    "full": st.fixed_dictionaries({"lr": some([1e-4, 1e-3, 1])}, optional={"batch_size": some([4, 8, 16])}),
    "adapter": st.fixed_dictionaries(
        {"lr": some([1e-4, 1e-3])},
        # 64 is houlsby's own size, written as null; 48 is nobody's
        optional={"variant": some(["pfeiffer", "houlsby"]), "bottleneck": some([48, 64, None])},
    ),
    "prefix": st.fixed_dictionaries(
        {"lr": some([1e-3])}, optional={"projection": some([True, False]), "projection_size": some([128, 512])}
    ),
}
GRIDS = st.fixed_dictionaries(
    {
        "tasks": some(list(TASKS)),
        "methods": st.fixed_dictionaries({}, optional=SPACES).filter(len),
        "fractions": some([0.1, 1.0]),
        "seeds": st.integers(1, 3)
        | some([1, 2, 5])
        | st.fixed_dictionaries({key: st.integers(1, 2) for key in ("init", "order", "subset")}),
        "budget": some([{"steps": 2}, {"steps": 3}]),
        "search": st.sampled_from([{"grid": {}}, {"grid": {"confirm_seeds": 1}}, {"grid": {"confirm_seeds": 2}}]),
    }
)


def made(raw: dict[str, Any]) -> Plan | None:
    """The plan of a study; None where it says one configuration twice, and is refused."""
    try:
        return Plan(tiny_study(**raw))
    except StudyError:
        return None


def ran(plan: Plan) -> dict[str, Trial]:
    """Trials that a run of the study leaves, with its confirm stages."""
    scheduler, found = Scheduler(plan, KNOWN, {}), dict[str, Trial]()
    while packs := drain(scheduler):
        for pack in packs:
            found |= {trial.id: trial for trial in pack.trials}
            scheduler.on_done(pack, [done_row(trial, select=score(trial)) for trial in pack.trials])
    return found


def score(trial: Trial) -> float:
    return float(trial.hyperparameters["lr"]) + 0.01 * trial.training.batch_size


def keys(trials: dict[str, Trial]) -> dict[tuple[str, bool], Done]:
    return {(one, False): done_row(trial, select=score(trial)) for one, trial in trials.items()}


@given(GRIDS, GRIDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_of_what_one_study_ran_another_contains_what_it_plans(old: dict[str, Any], new: dict[str, Any]) -> None:
    """By trial ids, which hold all that can change a result; and written as the new study writes it."""
    before, now = made(old), made(new)
    if before is None or now is None:
        return
    there = ran(before)
    held = within(Scope(now), keys(there))
    grid = {trial.id: trial for trial in now.grid(KNOWN)}
    assert {one for one, _ in held if there[one].stage == "grid"} == {
        one for one, trial in there.items() if one in grid and trial.stage == "grid"
    }
    for (one, _), done in held.items():
        if one in grid:
            assert (done.configuration, done.seed) == (grid[one].configuration, grid[one].seeds.code)
    assert within(Scope(now), keys(ran(now))).keys() == {(one, False) for one in ran(now)}


@given(GRIDS, GRIDS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
def test_a_choice_lies_in_the_study(old: dict[str, Any], new: dict[str, Any]) -> None:
    """What is confirmed is a point of the new space, or the default."""
    before, now = made(old), made(new | {"search": {"grid": {"confirm_seeds": 1}}})
    if before is None or now is None:
        return
    scheduler = Scheduler(now, KNOWN, within(Scope(now), keys(ran(before))))
    inside = {cell.key: {json.dumps(p, sort_keys=True) for p in now.points(cell)} for cell in now.cells()}
    default = {cell.key: json.dumps(now.default(cell), sort_keys=True) for cell in now.cells()}
    while packs := drain(scheduler):
        for pack in packs:
            for trial in pack.trials:
                assert trial.configuration in inside[trial.cell] | {default[trial.cell]}
            scheduler.on_done(pack, [done_row(trial, select=score(trial)) for trial in pack.trials])


OPTUNA: dict[str, Any] = {"trials": 4, "seeds": 1, "confirm_seeds": 1}


def searched(space: dict[str, Any], method: str = "lora", **study: Any) -> Plan:
    return Plan(tiny_study(methods={method: space}, search={"optuna": OPTUNA}, **study))


@pytest.mark.parametrize(
    ("space", "values", "holds"),
    [
        ({"lr": {"loguniform": [1e-4, 1e-2]}}, {"lr": 1e-4}, True),
        ({"lr": {"loguniform": [1e-4, 1e-2]}}, {"lr": 1e-2}, True),
        ({"lr": {"loguniform": [1e-4, 1e-2]}}, {"lr": 0.011}, False),
        ({"lr": {"uniform": [1e-4, 1e-2]}}, {"lr": 9e-5}, False),
        ({"lr": 1e-3, "r": {"int": [4, 16]}}, {"lr": 1e-3, "r": 8}, True),  # peft's and ours: the default
        ({"lr": 1e-3, "r": {"int": [4, 16]}}, {"lr": 1e-3, "r": 17}, False),
        ({"lr": 1e-3, "r": {"choice": [4, 16]}}, {"lr": 1e-3, "r": 8}, False),
        ({"lr": 1e-3, "r": [4, 16]}, {"lr": 1e-3, "r": 16}, True),
        ({"lr": 1e-3, "r": [4, 16]}, {"lr": 1e-3}, False),  # r at its default
        ({"lr": 1e-3}, {"lr": 1e-3}, True),
        ({"lr": 1e-3}, {"lr": 1e-3, "r": 4}, False),  # no longer searched: it is fixed at the default
        ({"lr": 1e-3, "batch_size": {"int": [4, 16]}}, {"lr": 1e-3}, True),  # the study's own 8
        ({"lr": 1e-3, "batch_size": {"int": [9, 16]}}, {"lr": 1e-3}, False),
        ({"lr": 1e-3}, {"lr": 1e-3, "batch_size": 8}, True),
        ({"lr": 1e-3}, {"lr": 1e-3, "batch_size": 16}, False),
    ],
)
def test_a_configuration_lies_in_ranges_choices_and_defaults(
    space: dict[str, Any], values: dict[str, Any], holds: bool
) -> None:
    plan = searched(space)
    (cell,) = plan.cells()
    wider = searched({key: [value] for key, value in values.items()})
    configuration = wider.complete(next(wider.cells()), values)
    point = Scope(plan).point(cell, configuration)
    assert (point is not None) == holds
    if point is not None:
        held = {key: value for key, value in plan.complete(cell, point).items() if key in configuration}
        assert held == {key: configuration[key] for key in held}


def rows_of(plan: Plan, stage: str, seeds: int, lrs: list[float]) -> dict[tuple[str, bool], Done]:
    """Finished trials at given learning rates; the higher, the better."""
    (cell,) = plan.cells()
    from finebench.bench.study.parts.seeds import CONFIRM_BASE, Seeds

    first = CONFIRM_BASE if stage == "confirm" else 0
    trials = [
        plan.trial(cell, stage, plan.complete(cell, {"lr": lr}), Seeds.paired(first + k), KNOWN)
        for lr in lrs
        for k in range(1, seeds + 1)
    ]
    return keys({trial.id: trial for trial in trials})


def test_confirm_runs_of_what_was_chosen_before_are_no_longer_part() -> None:
    wide, narrow = searched({"lr": {"loguniform": [1e-4, 1e-2]}}), searched({"lr": {"loguniform": [1e-4, 5e-3]}})
    done = rows_of(wide, "search", 1, [1e-4, 4e-3, 9e-3]) | rows_of(wide, "confirm", 1, [9e-3, 1e-3, 4e-3])
    lrs = {json.loads(one.configuration)["lr"] for one in within(Scope(wide), done).values() if one.stage == "confirm"}
    default = wide.default(next(wide.cells()))["lr"]
    assert lrs == {9e-3, default} & {9e-3, 1e-3, 4e-3}
    part = within(Scope(narrow), done).values()
    assert {json.loads(one.configuration)["lr"] for one in part if one.stage == "search"} == {1e-4, 4e-3}
    assert 9e-3 not in {json.loads(one.configuration)["lr"] for one in part}


def test_configurations_beyond_a_searchs_trials_are_no_part() -> None:
    plan = searched({"lr": {"loguniform": [1e-4, 1e-2]}})
    done = rows_of(plan, "search", 1, [1e-4, 2e-4])
    (key,) = {one.cell for one in done.values()}
    beyond = {key: frozenset({json.dumps(plan.complete(next(plan.cells()), {"lr": 2e-4}), sort_keys=True)})}
    assert [json.loads(one.configuration)["lr"] for one in within(Scope(plan, beyond), done).values()] == [1e-4]


def stored(study: Study, plan: dict[str, Any]) -> Scope:
    return scope_of(study.model_dump(mode="json", exclude_none=True), "study.yaml", plan)


def test_a_folders_plan_says_which_cells_there_are() -> None:
    """A cell that plan.json does not list is no part; of one that it lists and the study does not know, all are."""
    plan = Plan(tiny_study(methods={"full": {"lr": [1e-3]}}, tasks=list(TASKS)))
    done, listed = keys(ran(plan)), plan.to_json()
    assert len(within(stored(plan.study, listed), done)) == len(within(Scope(plan), done)) == 2
    listed["cells"] = listed["cells"][:1]
    assert len(within(stored(plan.study, listed), done)) == 1
    fewer = tiny_study(methods={"full": {"lr": [1e-3]}}, tasks=[TASKS[0]])
    assert len(within(stored(fewer, plan.to_json()), done)) == 2
    assert len(within(Scope(Plan(fewer)), done)) == 1


def test_a_row_of_an_older_version_lacks_what_the_method_has_since(tmp_path: Path) -> None:
    """It was trained with what is the default now, and its id is the same."""
    plan = searched({"lr": 1e-3, "r": [4, 8]})
    (done,) = within(Scope(plan), rows_of(plan, "search", 1, [1e-3])).values()
    old = replace(done, configuration=json.dumps({"lr": 1e-3, "r": 8}, sort_keys=True))
    assert within(Scope(plan), {0: old})[0].configuration == done.configuration


def test_two_ways_of_writing_a_study_contain_the_same(tmp_path: Path) -> None:
    """A value fixed, in a grid of one, in a choice; a list's order where only its members matter."""
    for one, other in itertools.permutations(({"lr": 1e-3}, {"lr": [1e-3]}, {"lr": {"choice": [1e-3, 1.0]}}), 2):
        configuration = searched(one).complete(next(searched(one).cells()), {"lr": 1e-3})
        assert Scope(searched(other)).point(next(searched(other).cells()), configuration) is not None


def asked(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The configurations that are written out from here on, as they come."""
    made: list[Any] = []
    complete = plan.complete
    monkeypatch.setattr(plan, "complete", lambda cell, point: made.append(point) or complete(cell, point))
    return made


def wide(number: int, start: int, of: str | None = None) -> dict[str, Any]:
    """A space of four lists, or choices, of so many values each."""
    many = {
        "lr": [(start + k) / 1e6 for k in range(number)],
        "r": [start + k for k in range(number)],
        "alpha": [start + k + 0.5 for k in range(number)],
        "dropout": [(start + k) / 1000 for k in range(number)],
    }
    return {key: {of: values} if of else values for key, values in many.items()}


@pytest.mark.parametrize("of", [None, "choice"])
def test_a_search_over_lists_is_asked_for_few_of_its_points(of: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """25 values of four keys make 390,625 points, of which a search tries some dozens."""
    plan, other = searched(wide(25, 1, of)), searched(wide(25, 101, of))
    (cell,) = plan.cells()
    scope, made = Scope(plan), asked(plan, monkeypatch)
    assert scope.point(cell, other_point(plan, 7)) is not None
    assert len(made) <= 2
    assert scope.point(cell, other_point(other, 0)) is None
    once = len(made)
    assert once < 10_000
    for place in range(1, 100):  # whatever else the folder holds of a space that has changed as a whole
        assert scope.point(cell, other_point(other, place)) is None
    assert len(made) == once


def other_point(plan: Plan, place: int) -> dict[str, Any]:
    """A complete configuration of a study."""
    (cell,) = plan.cells()
    return plan._complete(cell.method, plan.space(cell), Space(plan.space(cell).values, {}).configuration(place))
