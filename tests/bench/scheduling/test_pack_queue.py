"""Which trials are packed together: every trial once, first seeds by themselves, never two shapes, limits exact."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finebench.bench.driver.forecast import forecast
from finebench.bench.results.folder import Done
from finebench.bench.scheduling.pack_queue import PackQueue, timing_key
from finebench.bench.scheduling.pack_size import AsWritten
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Plan
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.kind import kind
from finebench.bench.training.worker.messages import Need, Pack
from tests.bench.scheduling.test_scheduler import KNOWN, done_row
from tests.bench.tiny import drain, tiny_study, with_default

METHODS: dict[str, Any] = {
    "full": {"lr": [1e-3, 1e-4, 1e-5]},
    "lora": {"lr": [1e-3, 1e-4], "r": [4, 8]},
    "bitfit": {"lr": [1e-3], "resources": {"pack": 3}},
}
STUDIES = st.fixed_dictionaries(
    {
        "methods": st.lists(st.sampled_from(sorted(METHODS)), min_size=1, unique=True).map(
            lambda names: {name: METHODS[name] for name in names}
        ),
        "tasks": st.sampled_from([["mini-cola"], ["mini-cola", "mini-mrpc"]]),
        "fractions": st.sampled_from([[1.0], [0.1, 1.0], [0.1, 0.3, 1.0]]),
        "seeds": st.one_of(st.integers(1, 5), st.just({"init": 2, "order": 1, "subset": 2})),
        "budget": st.sampled_from([[{"steps": 6}], [{"steps": 6}, {"epochs": 1}], [{"steps": 6}, {"seconds": 5}]]),
        "resources": st.fixed_dictionaries({"pack": st.sampled_from(["auto", 1, 2, 4, 16, 64])}),
        "search": st.sampled_from(["grid", {"grid": {"confirm_seeds": 3}}]),
    }
)


def run(scheduler: Scheduler, costs: Callable[[Trial], bool] = lambda trial: True) -> list[Pack]:
    """All packs, each finished before the next is started; `costs` says which rows had their device to themselves."""
    packs = []
    while (pack := scheduler.next_pack()) is not None:
        packs.append(pack)
        rows = [done_row(trial) for trial in pack.trials]
        alone = [costs(trial) and len(pack.trials) == 1 for trial in pack.trials]
        rows = [type(row)(**(vars(row) | {"exclusive": own})) for row, own in zip(rows, alone, strict=True)]
        scheduler.on_done(pack, rows)
    return packs


@given(changes=STUDIES)
@settings(max_examples=60, deadline=None)
def test_every_trial_once_first_seeds_alone_and_one_kind_to_a_pack(changes: dict[str, Any]) -> None:
    """For any study, with a confirm stage or without."""
    study = tiny_study(**changes)
    plan, sizes = Plan(study), AsWritten(study)
    packs = run(Scheduler(plan, KNOWN, {}, sizes=sizes))
    started = [trial for pack in packs for trial in pack.trials]
    grid = [trial.id for trial in started if trial.stage == "grid"]
    assert len({trial.id for trial in started}) == len(started)
    assert sorted(grid) == sorted(trial.id for trial in plan.grid(KNOWN))
    for pack in packs:
        assert len({kind(trial) for trial in pack.trials}) == 1
        assert len(pack.trials) <= (1 if pack.alone else sizes.most(pack.trials[0], 0))
    first = [pack.trials[0] for pack in packs if pack.alone]
    assert {trial.seeds == plan.seeds(trial.fraction)[0] for trial in first if trial.stage == "grid"} == {True}
    measured = [(trial.cell, trial.hyperparameters.get("r")) for trial in first]
    assert sorted(measured, key=str) == sorted({(t.cell, t.hyperparameters.get("r")) for t in started}, key=str)


@given(changes=STUDIES, limit=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_a_limit_is_exact_and_a_resumed_study_runs_the_rest(changes: dict[str, Any], limit: int) -> None:
    """Stopped anywhere: what is done is not run again, what is left is packed anew."""
    study = tiny_study(**changes | {"search": "grid"})
    plan = Plan(study)
    planned = [trial.id for trial in plan.grid(KNOWN)]
    scheduler = Scheduler(plan, KNOWN, {}, limit=limit, sizes=AsWritten(study))
    before = [trial for pack in run(scheduler) for trial in pack.trials]
    assert len(before) == min(limit, len(planned))
    assert scheduler.finished
    done = {(trial.id, False): done_row(trial) for trial in before}
    after = [t.id for pack in run(Scheduler(plan, KNOWN, done, sizes=AsWritten(study))) for t in pack.trials]
    assert sorted([trial.id for trial in before] + after) == sorted(planned)


def test_breadth_first_over_seeds_and_longest_first_inside_a_wave() -> None:
    """A pack takes the rest of its own wave before the next one."""
    study = tiny_study(methods={"full": {"lr": [1e-3, 1e-4]}}, fractions=[0.1, 0.5], seeds=4, resources={"pack": 3})
    packs = drain(Scheduler(Plan(study), KNOWN, {}, weight=lambda cell: cell.fraction, sizes=AsWritten(study)))
    shown = [[(trial.seeds.init, trial.fraction) for trial in pack.trials] for pack in packs]
    assert shown == [
        [(1, 0.5)],
        [(1, 0.5), (1, 0.1), (2, 0.5)],
        [(1, 0.1)],
        [(2, 0.5), (2, 0.1), (2, 0.1)],
        [(3, 0.5), (3, 0.5), (3, 0.1)],
        [(3, 0.1), (4, 0.5), (4, 0.5)],
        [(4, 0.1), (4, 0.1)],
    ]


@pytest.mark.parametrize(("exclusive", "alone"), [(True, 0), (False, 1)])
def test_confirm_runs_alone_first_where_its_cell_was_never_measured_alone(exclusive: bool, alone: int) -> None:
    """Grid trials that had a part of a GPU are no measurement; the first confirm seed is one then, of the best
    configuration and the default together, since a learning rate changes no cost."""
    study = tiny_study(
        methods={"full": {"lr": [1e-4, 1e-5]}}, search={"grid": {"confirm_seeds": 4}}, resources={"pack": 4}
    )
    scheduler = Scheduler(Plan(study), KNOWN, {}, with_default(Plan(study)), sizes=AsWritten(study))
    packs = run(scheduler, costs=lambda trial: exclusive)
    confirm = [pack for pack in packs if pack.trials[0].stage == "confirm"]
    assert sum(pack.alone for pack in confirm) == alone
    assert {trial.seeds.init for pack in confirm if pack.alone for trial in pack.trials} == ({1001} if alone else set())
    assert sum(len(pack.trials) for pack in confirm) == 8


def test_where_a_first_seed_fails_the_next_one_measures_its_cell() -> None:
    """Until one ends well; the cell that has its costs is packed meanwhile."""
    study = tiny_study(methods={"full": {"lr": [1e-3]}, "bitfit": {"lr": [1e-3]}}, seeds=7, resources={"pack": 4})
    scheduler = Scheduler(Plan(study), KNOWN, {}, sizes=AsWritten(study))
    packs: list[tuple[str, list[int], bool]] = []
    while (pack := scheduler.next_pack()) is not None:
        name = pack.trials[0].method
        packs.append((name, [trial.seeds.init for trial in pack.trials], pack.alone))
        fails = name == "full" and pack.trials[0].seeds.init < 3
        rows = [vars(done_row(trial)) | {"exclusive": pack.alone} for trial in pack.trials]
        scheduler.on_done(pack, [Done(**(row | ({"status": "diverged"} if fails else {}))) for row in rows])
    assert [(inits, alone) for name, inits, alone in packs if name == "full"] == [
        ([1], True), ([2], True), ([3], True), ([4, 5, 6, 7], False)
    ]  # fmt: skip
    assert [(inits, alone) for name, inits, alone in packs if name == "bitfit"] == [
        ([1], True), ([2, 3, 4, 5], False), ([6, 7], False)
    ]  # fmt: skip


def test_only_what_changes_no_shape_may_differ() -> None:
    """The learning rate, seeds, fraction and budget; nothing else."""

    def kinds(**changes: Any) -> set[str]:
        return {kind(trial) for trial in Plan(tiny_study(**changes)).grid(KNOWN)}

    one = {"methods": {"lora": {"lr": [1e-3, 1e-4]}}}
    assert len(kinds(**one, fractions=[0.1, 1.0], seeds=3, budget=[{"steps": 3}, {"epochs": 1}])) == 1
    assert len(kinds(methods={"lora": {"lr": 1e-3, "r": [4, 8]}})) == 2
    assert len(kinds(methods={"lora": {"lr": 1e-3, "dropout": [0.0, 0.1]}})) == 2
    assert len(kinds(**one, tasks=["mini-cola", "mini-mrpc"])) == 2
    assert kinds(**one) != kinds(**one, training={"batch_size": 8, "evals": 4})
    shapes = Plan(tiny_study(methods={"lora": {"lr": 1e-3, "r": [4, 8]}}))
    assert len({timing_key(trial) for trial in shapes.grid(KNOWN)}) == 1


class Unmeasured:
    """Sizes that have to be measured first."""

    def __init__(self) -> None:
        self.known: set[Need] = set()

    def missing(self, trial: Trial, alone: bool) -> Need | None:
        """The timings of its method."""
        need = Need("packs", trial.method)
        return None if alone or need in self.known else need

    def most(self, trial: Trial, waiting: int) -> int:
        """Two."""
        return 2


def test_what_waits_for_a_measurement_lets_others_pass() -> None:
    """One measurement per need; nothing is started without it, and the limit does not count it."""
    scheduler = Scheduler(Plan(tiny_study(seeds=3)), KNOWN, {}, sizes=(sizes := Unmeasured()), limit=6)
    packs = drain(scheduler)
    assert [pack.measures and pack.measures.key for pack in packs] == [None, None, "full", "bitfit"]
    assert not scheduler.finished
    for need in (Need("packs", "bitfit"), Need("packs", "full")):
        sizes.known.add(need)
        scheduler.measured(need)
        (pack,) = drain(scheduler)
        assert (pack.trials[0].method, len(pack.trials)) == (need.key, 2)
    assert scheduler.finished
    assert scheduler.started == 6


def test_a_line_keeps_the_order_whoever_is_passed_over() -> None:
    """Lanes are taken by their first trial; a lane that is passed over stays where it was."""
    trials = list(Plan(tiny_study(seeds=3)).grid(KNOWN))
    queue = PackQueue()
    for trial in trials:
        queue.add(trial, (False, trial.method))
    assert len(queue) == 6
    found = queue.first(lambda key, trial: trial.method == "full")
    assert found is not None
    assert queue.take(found[0], 2) == (trials[1], trials[3])
    assert queue.first() == ((False, "full"), trials[0])
    assert queue.take((False, "bitfit"), 9) == (trials[5],)
    assert queue.take((False, "full"), 9) == (trials[0], trials[2], trials[4])
    assert (queue.first(), len(queue)) == (None, 0)


def test_the_plan_says_how_many_are_trained_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the study gives a number; auto is not known before it is measured."""
    monkeypatch.setattr("finebench.bench.driver.forecast.has_amx", lambda: False)  # else a note says so
    methods = {"full": {"lr": 1e-3}, "bitfit": {"lr": 1e-3, "resources": {"pack": 3}}}
    told = "trained together after the first seed of each cell and shape, except in a search: "
    assert forecast(tiny_study(methods=methods), None)["notes"] == [told + "bitfit 3"]
    both = forecast(tiny_study(methods=methods, resources={"pack": 8}), None)["notes"]
    assert both == [told + "full 8, bitfit 3"]
    assert forecast(tiny_study(), None)["notes"] == []


def test_trials_that_wait_for_a_speed_are_not_packed_with_others() -> None:
    """Those others would wait too, for nothing."""
    study = tiny_study(methods={"full": {"lr": [1e-3]}}, budget=[{"steps": 6}, {"epochs": 1}, {"seconds": 5}])
    steps, epochs, seconds = (kind(trial) for trial in Plan(study).grid(KNOWN))
    assert steps == epochs != seconds


def test_the_end_of_a_study_runs_longest_first_after_the_first_seed_of_each_cell() -> None:
    """Sixteen trials of two lengths: two slots train the last four in one and a half times the longest."""
    study = tiny_study(methods={"full": {"lr": [1e-3]}}, fractions=[0.5, 1.0], seeds=8)
    scheduler = Scheduler(Plan(study), KNOWN, {}, weight=lambda cell: cell.fraction)
    scheduler.queue.slots = 2
    shown = [(pack.trials[0].seeds.init, pack.trials[0].fraction) for pack in drain(scheduler)]
    assert shown[:12] == [(seed, fraction) for seed in range(1, 7) for fraction in (1.0, 0.5)]
    assert shown[12:] == [(7, 1.0), (8, 1.0), (7, 0.5), (8, 0.5)]
    scheduler = Scheduler(Plan(study), KNOWN, {}, weight=lambda cell: cell.fraction)
    scheduler.queue.slots = 100
    shown = [(pack.trials[0].seeds.init, pack.trials[0].fraction) for pack in drain(scheduler)]
    assert shown[:3] == [(1, 1.0), (1, 0.5), (2, 1.0)]
    assert shown[2:] == [(seed, fraction) for fraction in (1.0, 0.5) for seed in range(2, 9)]


def test_at_the_end_packs_leave_something_for_every_slot() -> None:
    """Of twelve trials that wait, packs of eight would keep two of four slots busy."""
    study = tiny_study(methods={"full": {"lr": [1e-3]}}, seeds=13, resources={"pack": 8})
    scheduler = Scheduler(Plan(study), KNOWN, {}, weight=lambda cell: 1.0, sizes=AsWritten(study))
    scheduler.queue.slots = 4
    assert [len(pack.trials) for pack in drain(scheduler)] == [1, 3, 3, 2, 1, 1, 1, 1]
