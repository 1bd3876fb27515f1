"""Plans: counted without being built, expanded breadth first, every trial once."""

import time
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finebench.bench.study.load import build_study
from finebench.bench.study.parts.seeds import CONFIRM_BASE
from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.trial_id import Identity
from finebench.bench.util.errors import StudyError

METHODS: dict[str, dict[str, Any]] = {"full": {"lr": [1e-4, 1e-3]}, "head": {"lr": 1e-2}}


def plan(**changes: Any) -> Plan:
    raw = {
        "name": "x",
        "tasks": ["mini-cola", "mini-stsb"],
        "methods": METHODS,
        "fractions": [0.3, 1.0],
        "seeds": 3,
        "budget": {"steps": 10},
    }
    return Plan(build_study(raw | changes, "x.yaml", Path(".")))


def identities(of: Plan) -> Identities:
    return Identities(Identity("m", "1"), {name: Identity(name, "1") for name in of.study.task_names})


def test_cells_are_tasks_by_methods_by_fractions_by_budgets() -> None:
    made = plan(budget=[{"steps": 10}, {"epochs": 1}])
    cells = list(made.cells())
    assert len(set(cells)) == len(cells) == 2 * 2 * 2 * 2


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 3),
    st.lists(st.sampled_from([0.1, 0.3, 1.0]), min_size=1, unique=True),
    st.integers(1, 4)
    | st.fixed_dictionaries({"init": st.integers(1, 3), "order": st.integers(1, 3), "subset": st.integers(1, 3)}),
    st.integers(1, 4),
)
def test_what_is_counted_is_what_is_expanded(budgets: int, fractions: list[float], seeds: Any, points: int) -> None:
    methods = {"full": {"lr": [10.0**-k for k in range(2, 2 + points)]}, "head": {"lr": 1e-2}}
    made = plan(budget=[{"steps": k + 1} for k in range(budgets)], fractions=fractions, seeds=seeds, methods=methods)
    trials = list(made.grid(identities(made)))
    assert made.count() == len(trials) == len({trial.id for trial in trials})
    counted = {(count.cell.key, count.stage): count.planned for count in made.counts()}
    assert counted == Counter((trial.cell, trial.stage) for trial in trials)
    assert made.to_json()["trials"] == len(trials)


def test_seed_one_of_every_cell_comes_before_seed_two_of_any() -> None:
    made = plan()
    trials = list(made.grid(identities(made)))
    waves = [(seed, {t.cell for t in group}) for seed, group in groupby(trials, key=lambda t: t.seeds.code)]
    assert [seed for seed, _ in waves] == [1, 2, 3]
    assert all(cells == {cell.key for cell in made.cells()} for _, cells in waves)


def test_inside_a_wave_the_heaviest_cells_come_first() -> None:
    def weight(cell: Cell) -> float:
        return cell.fraction * (2 if cell.method == "full" else 1)

    made = plan()
    first = [t for t in made.grid(identities(made), weight) if t.seeds.code == 1]
    weights = [t.fraction * (2 if t.method == "full" else 1) for t in first]
    assert weights == sorted(weights, reverse=True)


def test_crossed_subsets_are_not_crossed_at_the_full_fraction() -> None:
    made = plan(seeds={"init": 2, "order": 2, "subset": 3})
    assert made.n_seeds(0.3) == len(made.seeds(0.3)) == 12
    assert made.n_seeds(1.0) == len(made.seeds(1.0)) == 4


def test_every_trial_says_all_its_hyperparameters() -> None:
    made = plan(methods={"lora": {"lr": 1e-3}})
    (cell, *_) = made.cells()
    (point,) = made.points(cell)
    assert set(point) > {"lr", "r"}
    assert point["lr"] == 1e-3


def test_confirm_trials_run_on_seeds_that_chose_nothing() -> None:
    made = plan(search={"grid": {"confirm_seeds": 4}})
    (cell, *_) = made.cells()
    best, default = made.points(cell)[0], made.default(cell)
    trials = made.confirm(cell, [best, default], identities(made))
    assert len(trials) == 8
    assert {t.stage for t in trials} == {"confirm"}
    assert {t.seeds.code for t in trials} == {CONFIRM_BASE + k for k in range(1, 5)}
    assert [t.seeds.code for t in trials[:2]] == [CONFIRM_BASE + 1] * 2
    planned = {count.stage: count.planned for count in made.counts() if count.cell == cell}
    assert planned == {"grid": 2 * 3, "confirm": 8}


def test_a_confirm_stage_may_do_without_the_default() -> None:
    made = plan(search={"grid": {"confirm_seeds": 4, "confirm_default": False}})
    (cell, *_) = made.cells()
    planned = {count.stage: count.planned for count in made.counts() if count.cell == cell}
    assert planned == {"grid": 2 * 3, "confirm": 4}
    assert made.count() == sum(count.planned for count in made.counts())


def test_a_search_gives_every_cell_the_same_tuning_budget() -> None:
    space = {"full": {"lr": {"loguniform": [1e-5, 1e-3]}}, "head": {"lr": {"uniform": [1e-3, 1e-2]}}}
    made = plan(methods=space, search={"optuna": {"trials": 7, "seeds": 2, "confirm_seeds": 3}})
    for count in made.counts():
        assert (count.planned, count.configurations) == ((14, 7) if count.stage == "search" else (6, 2))
    assert made.count() == 8 * (14 + 6)


def test_a_space_of_one_tasks_own_is_counted_for_that_task() -> None:
    made = plan(methods={"full": {"lr": [1e-4, 1e-3], "per_task": {"mini-stsb": {"lr": 1e-3}}}})
    assert {(cell.task, made.configurations(cell)) for cell in made.cells()} == {("mini-cola", 2), ("mini-stsb", 1)}


def test_a_million_trials_are_counted_at_once() -> None:
    lrs = [1e-3 * (1 + k / 1000) for k in range(100)]
    begin = time.perf_counter()
    made = plan(
        methods={"full": {"lr": lrs}, "head": {"lr": lrs}}, seeds=900, budget=[{"steps": k} for k in range(1, 4)]
    )
    assert made.count() == 2 * 2 * 2 * 3 * 100 * 900
    assert time.perf_counter() - begin < 2


def test_too_many_trials_are_refused() -> None:
    lrs = [1e-3 * (1 + k / 1000) for k in range(1000)]
    with pytest.raises(StudyError, match="at most 10,000,000 are allowed"):
        plan(methods={"full": {"lr": lrs}, "head": {"lr": lrs}}, seeds=999, budget=[{"steps": k} for k in range(1, 9)])


def test_one_configuration_written_twice_is_refused() -> None:
    written = {"bitfit": {"lr": 1e-3, "terms": ["query+key", "key+query"]}}
    with pytest.raises(StudyError, match=r"key\+query.* are the same configuration; leave out one"):
        plan(methods=written)
    with pytest.raises(StudyError, match="reduction_factor or bottleneck, not both"):
        plan(methods={"adapter": {"reduction_factor": [None, 4], "bottleneck": [None, 8]}})


def test_sizes_of_spaces_are_counted_and_never_materialised() -> None:
    search = {"optuna": {"trials": 7, "seeds": 1, "confirm_seeds": 0}}
    for high, wanted in ((3, 3), (10**9, 7), (10**30, 7)):
        made = plan(tasks=["mini-cola"], methods={"lora": {"lr": 1e-3, "r": {"int": [1, high]}}}, search=search)
        assert [made.configurations(cell) for cell in made.cells()] == [wanted] * 2


def test_every_configuration_of_a_space_has_a_place() -> None:
    made = plan(
        methods={
            "adapter": {
                "lr": [1e-3, 1e-2],
                "bottleneck": {"int": [2, 4]},
                "variant": {"choice": ["pfeiffer", "houlsby"]},
            }
        },
        search={"optuna": {"trials": 7, "seeds": 1, "confirm_seeds": 0}},
    )
    space = made.space(next(iter(made.cells())))
    assert space.distinct == 12
    found = {tuple(sorted(space.configuration(place).items())) for place in range(12)}
    assert found == {
        tuple(sorted({"lr": lr, "bottleneck": size, "variant": variant}.items()))
        for lr in (1e-3, 1e-2) for size in (2, 3, 4) for variant in ("pfeiffer", "houlsby")
    }  # fmt: skip
