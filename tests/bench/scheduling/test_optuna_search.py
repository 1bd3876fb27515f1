"""One Optuna study per cell: equal budgets, own scales, durable suggestions, right states told."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import TrialState

from finebench.bench.results.folder import Done, ResultsFolder
from finebench.bench.scheduling.optuna_search import OptunaCell
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.trial_id import Identity
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import StudyError
from tests.bench.scheduling.test_scheduler import done_row
from tests.bench.tiny import tiny_study

KNOWN = Identities(Identity("m", "r"), {n: Identity(n, "1:x") for n in ("mini-cola", "mini-mrpc")})
SPACE = {"full": {"lr": {"loguniform": [1e-5, 1e-2]}}, "bitfit": {"lr": [1e-3, 1e-2]}}


def search_plan(tasks: list[str] | None = None, methods: Any = None, **settings: Any) -> Plan:
    """A plan with an Optuna search."""
    optuna = {"trials": 4, "seeds": 2, "confirm_seeds": 0} | settings
    return Plan(tiny_study(tasks=tasks or ["mini-cola"], methods=methods or SPACE, search={"optuna": optuna}))


def conduct(plan: Plan, folder: ResultsFolder, done: Any = None, evals: Any = None) -> Scheduler:
    """A scheduler with one search per cell, as a run builds it."""
    done = done or {}
    curves = evals or (lambda trial_id, pruned: [0.1])
    searches = {c: OptunaCell(plan, c, KNOWN, folder, done, curves) for c in plan.cells()}
    return Scheduler(plan, KNOWN, done, searches=searches)


def drive(scheduler: Scheduler, score: Any, stop: Any = lambda pack, index: False) -> list[tuple[Pack, list[Done]]]:
    """Run packs one after the other with a made-up score."""
    log = []
    while (pack := scheduler.next_pack()) is not None:
        stopped = False
        for index in (1, 2, 3):
            stopped = stopped or scheduler.on_rung(pack, index, score(pack))
        status = "pruned" if stopped else "ok"
        rows = [done_row(t, status, score(pack)) for t in pack.trials]
        scheduler.on_done(pack, rows)
        log.append((pack, rows))
    return log


def lr_score(pack: Pack) -> float:
    """A score that falls with the distance from 1e-3, on a scale of its own per task."""
    import math

    scale = 1.0 if pack.trials[0].task.name == "mini-cola" else 0.01
    return -scale * abs(math.log10(float(pack.trials[0].hyperparameters["lr"])) + 3)


def test_every_cell_gets_the_same_tuning_budget(tmp_path: Path) -> None:
    """Trap: a `choice` over cells starves some of them."""
    methods = {name: {"lr": {"loguniform": [1e-4, 1e-2]}} for name in ("full", "bitfit")}
    scheduler = conduct(search_plan(["mini-cola", "mini-mrpc"], methods, trials=6), ResultsFolder(str(tmp_path)))
    drive(scheduler, lr_score)
    told = {search.name: len(search.study.trials) for search in scheduler.searches.values()}  # type: ignore[attr-defined]
    assert set(told.values()) == {6}
    assert len(told) == 4


def test_lists_become_choices(tmp_path: Path) -> None:
    """Trap: grid_search with OptunaSearch raises; a list in a searched space is a choice."""
    log = drive(conduct(search_plan(), ResultsFolder(str(tmp_path))), lr_score)
    lrs = {p.trials[0].hyperparameters["lr"] for p, _ in log if p.trials[0].method == "bitfit"}
    assert lrs == {1e-3, 1e-2}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_space_smaller_than_its_budget_is_tried_whole_and_each_value_once(tmp_path: Path, sampler: str) -> None:
    """A search repeats nothing, and the plan counts what there is to try: nothing stays pending for ever."""
    space = {"adapter": {"lr": {"choice": [1e-3, 1e-2]}, "bottleneck": {"int": [3, 5]}}, "bitfit": {"lr": [1e-3, 1e-2]}}
    plan = search_plan(methods=space, trials=8, sampler=sampler)
    scheduler = conduct(plan, ResultsFolder(str(tmp_path)))
    log = drive(scheduler, lr_score)
    assert len(log) == len({pack.name for pack, _ in log}) == 6 + 2
    assert scheduler.finished
    planned = {count.cell.method: (count.configurations, count.planned) for count in plan.counts()}
    assert planned == {"adapter": (6, 12), "bitfit": (2, 4)}
    assert plan.count() == 16


def test_one_configuration_is_all_its_seeds_and_told_their_mean(tmp_path: Path) -> None:
    """Seeds are never pruned apart."""
    scheduler = conduct(search_plan(seeds=3), ResultsFolder(str(tmp_path)))
    pack = scheduler.next_pack()
    assert pack is not None
    assert [t.seeds.code for t in pack.trials] == [1, 2, 3]
    rows = [done_row(t, "ok", s) for t, s in zip(pack.trials, (0.1, 0.2, 0.6), strict=True)]
    scheduler.on_done(pack, rows)
    cell = next(c for c in scheduler.searches if c.key == pack.trials[0].cell)
    assert scheduler.searches[cell].study.trials[0].value == pytest.approx(0.3)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("ok", TrialState.COMPLETE),
        ("pruned", TrialState.PRUNED),
        ("diverged", TrialState.COMPLETE),
        ("oom", TrialState.FAIL),
        ("error", TrialState.FAIL),
        ("timeout", TrialState.FAIL),
    ],
)
def test_states_are_told_as_they_are(tmp_path: Path, status: str, state: TrialState) -> None:
    """Trap: Ray's OptunaSearch tells a stopped trial COMPLETE with its low-fidelity value."""
    scheduler = conduct(search_plan(seeds=1, scheduler="asha"), ResultsFolder(str(tmp_path)))
    pack = scheduler.next_pack()
    assert pack is not None
    scheduler.on_rung(pack, 1, 0.4)
    scheduler.on_done(pack, [done_row(pack.trials[0], status, 0.4)])
    cell = next(c for c in scheduler.searches if c.key == pack.trials[0].cell)
    told = scheduler.searches[cell].study.trials[0]  # type: ignore[attr-defined]
    assert told.state == state
    if status == "pruned":
        assert told.intermediate_values == {1: 0.4}


def test_asha_never_compares_tasks(tmp_path: Path) -> None:
    """Trap: one ASHA over tasks of different scale stops every trial of the lower one."""
    plan = search_plan(["mini-cola", "mini-mrpc"], {"full": SPACE["full"]}, trials=9, seeds=1, scheduler="asha")
    log = drive(conduct(plan, ResultsFolder(str(tmp_path))), lr_score)
    for task in ("mini-cola", "mini-mrpc"):
        statuses = [rows[0].status for pack, rows in log if pack.trials[0].task.name == task]
        assert len(statuses) == 9
        assert "ok" in statuses
        assert "pruned" in statuses


def test_studies_are_named_apart_and_do_not_mix(tmp_path: Path) -> None:
    """Trap: OptunaSearch's storage continues another task's study under one fixed name."""
    folder = ResultsFolder(str(tmp_path))
    scheduler = conduct(search_plan(["mini-cola", "mini-mrpc"]), folder)
    names = [s.study.study_name for s in scheduler.searches.values()]  # type: ignore[attr-defined]
    assert len(set(names)) == 4
    drive(scheduler, lr_score)
    again = conduct(search_plan(["mini-cola"]), folder)
    assert all(s.number == s.budget for s in again.searches.values())  # type: ignore[attr-defined]


def test_a_resumed_search_continues_as_if_never_interrupted(tmp_path: Path) -> None:
    """Nothing is suggested twice, nothing told is missing, and the suggestions are the same."""
    plan = search_plan(methods={"full": SPACE["full"]}, trials=8, seeds=1)
    whole = drive(conduct(plan, ResultsFolder(str(tmp_path / "whole"))), lr_score)
    folder = ResultsFolder(str(tmp_path / "parts"))
    first = conduct(plan, folder)
    done: dict[tuple[str, bool], Done] = {}
    for _ in range(4):
        pack = first.next_pack()
        assert pack is not None
        rows = [done_row(t, "ok", lr_score(pack)) for t in pack.trials]
        first.on_done(pack, rows)
        done |= {(r.trial_id, False): r for r in rows}
    lost = first.next_pack()  # suggested, then the driver dies
    assert lost is not None
    rest = drive(conduct(plan, folder, done), lr_score)
    assert rest[0][0] == lost
    assert [p.name for p, _ in whole] == [i for i, _ in done] + [p.name for p, _ in rest]


def test_a_resumed_search_knows_every_rung_that_it_knew(tmp_path: Path) -> None:
    """What was told at each rung, and which rungs a configuration reached: by these ASHA stops the next ones."""
    plan = search_plan(methods={"full": SPACE["full"]}, trials=12, seeds=1, scheduler="asha")
    folder = ResultsFolder(str(tmp_path))

    def curve(pack: Pack) -> list[float]:
        return [lr_score(pack) + 0.01 * index for index in range(1, 9)]

    first = conduct(plan, folder)
    done: dict[tuple[str, bool], Done] = {}
    curves: dict[str, list[float]] = {}
    for _ in range(9):
        pack = first.next_pack()
        assert pack is not None
        told: list[float] = []
        for index, value in enumerate(curve(pack), start=1):
            told.append(value)
            if first.on_rung(pack, index, value):
                break
        stopped = len(told) < 8
        rows = [done_row(t, "pruned" if stopped else "ok", told[-1]) for t in pack.trials]
        first.on_done(pack, rows)
        done |= {(row.trial_id, stopped): row for row in rows}
        curves |= {row.trial_id: told for row in rows}
    assert {stopped for _, stopped in done} == {True, False}
    again = conduct(plan, folder, done, lambda trial_id, pruned: curves[trial_id])

    def known(scheduler: Scheduler) -> list[Any]:
        (cell,) = scheduler.searches.values()
        trials = cell.study.trials  # type: ignore[attr-defined]
        reached = [{k: v for k, v in t.system_attrs.items() if k.startswith("completed_rung")} for t in trials]
        return [(t.params, t.state, t.intermediate_values, r) for t, r in zip(trials, reached, strict=True)]

    assert known(again) == known(first)
    assert any(reached for *_, reached in known(again))


SMALL = {"adapter": {"lr": {"choice": [1e-3, 1e-2]}, "bottleneck": {"int": [3, 7]}}}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_of_a_small_space_resumes_at_any_point_with_the_same_suggestions(tmp_path: Path, sampler: str) -> None:
    """Whatever was drawn again, and whatever was taken once nothing new was drawn, comes the same way again."""
    plan = search_plan(methods=SMALL, trials=10, seeds=1, sampler=sampler)
    whole = drive(conduct(plan, ResultsFolder(str(tmp_path / "whole"))), lr_score)
    assert len({pack.name for pack, _ in whole}) == 10
    for cut in (1, 4, 7, 9):
        folder, done = ResultsFolder(str(tmp_path / str(cut))), dict[tuple[str, bool], Done]()
        first = conduct(plan, folder)
        for _ in range(cut):
            pack = first.next_pack()
            assert pack is not None
            rows = [done_row(trial, "ok", lr_score(pack)) for trial in pack.trials]
            first.on_done(pack, rows)
            done |= {(row.trial_id, False): row for row in rows}
        again = conduct(plan, folder, done)
        assert [pack.name for pack, _ in drive(again, lr_score)] == [pack.name for pack, _ in whole[cut:]]


def test_what_a_sampler_repeats_is_told_failed_and_the_rest_is_taken_at_random(tmp_path: Path) -> None:
    """A trial left running would count for the sampler, and the first value left in order would be no search."""
    space = {"adapter": {"lr": {"choice": [1e-3 * (1 + k) for k in range(8)]}, "bottleneck": {"int": [1, 8]}}}
    plan = search_plan(methods=space, trials=20, seeds=1)
    scheduler = conduct(plan, ResultsFolder(str(tmp_path)))
    log = drive(scheduler, lambda pack: float(pack.trials[0].hyperparameters["lr"] == 3e-3))
    (search,) = scheduler.searches.values()
    states = Counter(trial.state for trial in search.study.trials)  # type: ignore[attr-defined]
    assert states.keys() == {TrialState.COMPLETE, TrialState.FAIL}
    assert states[TrialState.COMPLETE] == len(log) == 20
    tried = Counter(pack.trials[0].hyperparameters["lr"] for pack, _ in log)
    assert tried.most_common(1)[0][0] == 3e-3
    sizes = Counter(pack.trials[0].hyperparameters["bottleneck"] for pack, _ in log)
    assert max(sizes.values()) < 8  # in order, all eight of the first size would come


def test_a_search_that_finds_nothing_left_goes_on_to_its_confirm_stage(tmp_path: Path) -> None:
    """Past a size, equal configurations written differently are not found beforehand."""
    terms = ["query+key", "key+query", *(f"{a}+{b}+value" for a, b in itertools.permutations(("query", "key")))]
    space = {"bitfit": {"lr": [1e-3 * (1 + k / 100) for k in range(60)], "terms": terms}}
    with pytest.raises(StudyError, match="same configuration"):
        search_plan(methods=space)
    plan = search_plan(methods={"bitfit": {"lr": [1e-3, 1e-2]}}, trials=9, seeds=1, confirm_seeds=1)
    (cell,) = plan.cells()
    scheduler = conduct(plan, ResultsFolder(str(tmp_path)))
    scheduler.searches[cell].budget = 9  # type: ignore[attr-defined]
    assert [pack.trials[0].stage for pack, _ in drive(scheduler, lr_score)] == ["search", "search", "confirm"]


def test_a_suggestion_that_an_older_version_recorded_twice_is_run_once(tmp_path: Path) -> None:
    """One is run again, the other told FAIL, as it was then; what it displaced is suggested now."""
    plan, folder = search_plan(methods={"bitfit": {"lr": [1e-3, 1e-2]}}, seeds=1), ResultsFolder(str(tmp_path))
    (cell,) = plan.cells()
    name = OptunaCell(plan, cell, KNOWN, folder, {}, lambda trial_id, pruned: []).name
    for number in (0, 1):
        folder.write_json(f"search/{name}/{number:06d}.json", {"number": number, "params": {"lr": 1e-3}})
    search = OptunaCell(plan, cell, KNOWN, folder, {}, lambda trial_id, pruned: [], parallel=9)
    asked = []
    while (pack := search.ask()) is not None:
        asked.append(pack.trials[0].hyperparameters["lr"])
    assert asked == [1e-3, 1e-2]
    assert [trial.state for trial in search.study.trials][:2] == [TrialState.RUNNING, TrialState.FAIL]
