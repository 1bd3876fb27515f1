"""Seeds in waves: the schedule, where it is refused, and what the scheduler runs after each look."""

from collections.abc import Collection
from typing import Any

import pytest

from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Plan
from finebench.bench.study.schema import Study
from finebench.bench.study.waves import CellKey, Waves
from finebench.bench.util.errors import StudyError
from tests.bench.scheduling.test_scheduler import KNOWN, done_row
from tests.bench.tiny import tiny_study

CLAIM = {"id": "c", "says": "better", "a": "full", "b": "bitfit"}
UNTIL: dict[str, Any] = {"looks": [6, 9, 14], "until": "settled"}


def study(**changes: Any) -> Study:
    return tiny_study(**({"seeds": UNTIL, "claims": [CLAIM], "tasks": ["mini-cola", "mini-mrpc"]} | changes))


@pytest.mark.parametrize(
    ("most", "schedule"), [(30, (6, 9, 14, 21, 30)), (10, (6, 9, 10)), (7, (6, 7)), (21, (6, 9, 14, 21))]
)
def test_most_alone_makes_a_growing_schedule(most: int, schedule: tuple[int, ...]) -> None:
    found = study(seeds={"most": most, "until": "settled"})
    assert found.waves is not None
    assert found.waves.schedule == schedule
    assert Plan(found).count() == 4 * most


@pytest.mark.parametrize(
    ("seeds", "said"),
    [
        ({"looks": [5, 9]}, "looks are growing numbers of seeds from 6 up"),
        ({"looks": [9, 9]}, "looks are growing numbers of seeds from 6 up"),
        ({"looks": [6, 9], "most": 9}, "exactly one of looks and most"),
        ({"until": "settled"}, "exactly one of looks and most"),
        ({"most": 6}, "most is above 6"),
        ({"most": 2000}, "both stay below 1000"),
        ({"looks": list(range(6, 40))}, "34 looks are more than the 20"),
        ({"most": 30, "until": "bored"}, "seeds.until: settled is needed"),
        ({"most": 30, "till": "settled"}, "till"),
    ],
)
def test_schedules_that_cannot_be_are_refused(seeds: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        study(seeds=seeds)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"claims": []}, "the study makes no claims"),
        ({"methods": {"full": {"lr": [1e-3, 1e-4]}, "bitfit": {"lr": [5e-3]}}}, "full tries 2 configurations"),
        (
            {
                "methods": {"full": {"lr": [1e-3, 1e-4]}, "bitfit": {"lr": [5e-3]}, "head": {"lr": [1e-2]}},
                "claims": [CLAIM | {"a": "bitfit", "b": "head", "scale": "gain"}],
            },
            "full tries 2 configurations",
        ),
        ({"search": {"optuna": {"trials": 2}}}, "a search chooses on seeds of its own"),
        ({"search": {"grid": {"confirm_seeds": 6}}}, "the claims rest on the confirm seeds"),
        ({"claims": [CLAIM | {"says": "cheaper", "factor": 2}]}, "no claim is about the scores of those seeds"),
    ],
)
def test_waves_are_refused_where_their_error_rate_would_not_hold(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        Plan(study(**changes))


def played(found: Study, decide: Any) -> tuple[list[tuple[str, str, int]], Scheduler]:
    """What runs, trial by trial, where every trial ends well at once."""
    plan = Plan(found)
    waves = Waves(found, [cell.key for cell in plan.cells()], decide)
    scheduler, ran = Scheduler(plan, KNOWN, {}, waves=waves), []
    while (pack := scheduler.next_pack()) is not None:
        for trial in pack.trials:
            ran.append((trial.task.name, trial.method, trial.seeds.code))
            scheduler.on_done(pack, [done_row(trial)])
    assert scheduler.finished
    return ran, scheduler


def test_a_wave_runs_the_cells_of_open_claims_alone() -> None:
    looks: list[int] = []

    def decide(look: int) -> Collection[CellKey]:
        looks.append(look)
        cells = [cell.key for cell in Plan(study()).cells()]
        return [key for key in cells if key[0] == "mini-cola"] if look == 0 else []

    ran, scheduler = played(study(), decide)
    assert looks == [0, 1]
    assert {seed for task, _, seed in ran if task == "mini-cola"} == set(range(1, 10))
    assert {seed for task, _, seed in ran if task == "mini-mrpc"} == set(range(1, 7))
    assert len(ran) == len(set(ran)) == 2 * 9 + 2 * 6
    assert ran.index(("mini-mrpc", "full", 6)) < ran.index(("mini-cola", "full", 7))
    assert sum(scheduler.spared.values()) == 4 * 14 - len(ran)
    assert [one.planned for one in scheduler.plan.counts(scheduler.waves)] == [9, 9, 6, 6]


def test_nothing_is_looked_at_before_a_wave_is_through() -> None:
    found = study(tasks=["mini-cola"])
    plan = Plan(found)
    seen: list[int] = []

    def decide(look: int) -> Collection[CellKey]:
        seen.append(look)
        return [cell.key for cell in plan.cells()]

    scheduler = Scheduler(plan, KNOWN, {}, waves=Waves(found, [c.key for c in plan.cells()], decide))
    packs = [scheduler.next_pack() for _ in range(12)]
    assert all(packs)
    assert scheduler.next_pack() is None
    assert not seen
    assert not scheduler.finished
    for pack in packs:
        assert pack is not None
        scheduler.on_done(pack, [done_row(trial) for trial in pack.trials])
    following = scheduler.next_pack()
    assert following is not None
    assert (seen, following.trials[0].seeds.code) == ([0], 7)


def test_the_last_look_ends_the_study_whatever_is_open() -> None:
    ran, scheduler = played(study(tasks=["mini-cola"]), lambda look: [c.key for c in Plan(study()).cells()])
    assert {seed for *_, seed in ran} == set(range(1, 15))
    assert not scheduler.spared.total()


def test_a_study_that_goes_on_takes_the_same_looks_again() -> None:
    found = study(tasks=["mini-cola"])
    plan = Plan(found)
    cells = [cell.key for cell in plan.cells()]
    there = {(t.id, False): done_row(t) for t in plan.grid(KNOWN) if t.seeds.code <= 9}
    looks: list[int] = []

    def decide(look: int) -> Collection[CellKey]:
        looks.append(look)
        return cells if look == 0 else []

    scheduler = Scheduler(plan, KNOWN, there, waves=Waves(found, cells, decide))
    assert (scheduler.next_pack(), looks, scheduler.finished) == (None, [0, 1], True)


def test_confirm_seeds_come_in_waves_once_every_cell_has_chosen() -> None:
    found = study(
        tasks=["mini-cola"], seeds=1, search={"grid": {"confirm_seeds": UNTIL}},
        methods={"full": {"lr": [1e-3, 1e-4]}, "bitfit": {"lr": [5e-3]}},
    )  # fmt: skip
    ran, scheduler = played(found, lambda look: [c.key for c in Plan(found).cells() if c.method == "full"][: 1 - look])
    confirmed = [(method, seed) for _, method, seed in ran if seed > 1000]
    assert {seed for method, seed in confirmed if method == "full"} == set(range(1001, 1010))
    assert {seed for method, seed in confirmed if method == "bitfit"} == set(range(1001, 1007))
    assert [c.planned for c in scheduler.plan.counts(scheduler.waves) if c.stage == "confirm"] == [18, 12]


def test_trials_that_are_not_needed_are_explained() -> None:
    found, said = study(tasks=["mini-cola"]), []
    plan = Plan(found)
    there = {(t.id, False): done_row(t) for t in plan.grid(KNOWN) if t.seeds.code <= 6}
    waves = Waves(found, [c.key for c in plan.cells()], lambda look: [])
    Scheduler(plan, KNOWN, there, waves=waves, why=lambda trial, reason, runs: said.append((reason, runs))).look()
    assert said.count(("not needed: no open claim is about its cell", False)) == 2 * 8
