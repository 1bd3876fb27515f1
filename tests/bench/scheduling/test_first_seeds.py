"""One trial runs by itself for each cell and shape: learning rates cost nothing, what fails is made up for."""

from typing import Any

import pytest

from finebench.bench.results.folder import Done
from finebench.bench.scheduling.first_seeds import shape, stand
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.load import load_study
from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.trial_id import Identity
from finebench.bench.training.worker.messages import Pack
from tests.bench.scheduling.test_scheduler import KNOWN, done_row
from tests.bench.tiny import drain, tiny_study


def alone(packs: list[Pack]) -> list[Pack]:
    """Those that measure."""
    return [pack for pack in packs if pack.alone]


def test_a_shape_is_what_makes_a_step_dearer() -> None:
    """Ranks and batch sizes do; learning rates, warm-up and decay do not."""
    point = '{"lr": 0.001, "r": 8, "batch_size": 16, "warmup": 0.1, "weight_decay": 0.0}'
    same = '{"lr": 0.1, "r": 8, "batch_size": 16, "warmup": 0.2, "weight_decay": 0.5}'
    assert shape("lora", point) == shape("lora", same)
    assert shape("lora", point) != shape("lora", point.replace('"r": 8', '"r": 4'))
    assert shape("lora", point) != shape("lora", point.replace("16", "32"))


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({"lr": [1e-3, 1e-4, 1e-5]}, 1),
        ({"lr": [1e-3, 1e-4], "weight_decay": [0.0, 0.1], "warmup": [0.0, 0.1]}, 1),
        ({"lr": [1e-3, 1e-4], "batch_size": [8, 16]}, 2),
        ({"lr": [1e-3, 1e-4], "r": [2, 4, 8], "batch_size": [8, 16]}, 6),
    ],
    ids=["lr", "options", "batch size", "rank and batch size"],
)
def test_a_cell_has_one_measuring_trial_for_each_shape(space: dict[str, Any], expected: int) -> None:
    """And all of them have its first seed."""
    plan = Plan(tiny_study(methods={"lora": space}, seeds=3))
    packs = alone(drain(Scheduler(plan, KNOWN, {})))
    assert len(packs) == expected
    assert {pack.trials[0].seeds.init for pack in packs} == {1}
    assert len({stand(pack.trials[0]) for pack in packs}) == expected


def test_of_a_shipped_study_a_cell_and_shape_has_one() -> None:
    """doering2024: three learning rates in each cell stand for one another."""
    plan = Plan(load_study("doering2024"))
    known = Identities(Identity("m", "1"), {name: Identity(name, "1") for name in plan.study.task_names})
    packs = drain(Scheduler(plan, known, {}))
    assert len(alone(packs)) == len(list(plan.cells())) < sum(pack.trials[0].seeds.init == 1 for pack in packs)


def test_a_study_that_goes_on_measures_what_was_not() -> None:
    """A first seed that diverged, or was not by itself, is made up for by the next one that runs."""
    plan = Plan(tiny_study(seeds=3, methods={"full": {"lr": [1e-3]}, "bitfit": {"lr": [1e-3]}, "ia3": {"lr": [1e-3]}}))
    firsts = [trial for trial in plan.grid(KNOWN) if trial.seeds.init == 1]
    ends = {"full": {"status": "diverged"}, "bitfit": {"exclusive": False}, "ia3": {}}
    rows = [Done(**(vars(done_row(trial)) | ends[trial.method])) for trial in firsts]
    packs = drain(Scheduler(plan, KNOWN, {(row.trial_id, False): row for row in rows}))
    found = {(pack.trials[0].method, pack.trials[0].seeds.init): pack.alone for pack in packs}
    assert found == {
        ("full", 2): True, ("bitfit", 2): True, ("ia3", 2): False,
        ("full", 3): False, ("bitfit", 3): False, ("ia3", 3): False,
    }  # fmt: skip


def test_a_failed_first_seed_of_one_shape_leaves_the_other_alone() -> None:
    """Two shapes of a cell are measured by themselves."""
    plan = Plan(tiny_study(seeds=3, methods={"lora": {"lr": [1e-3], "r": [4, 8]}}))
    scheduler = Scheduler(plan, KNOWN, {})
    found = []
    while (pack := scheduler.next_pack()) is not None:
        trial = pack.trials[0]
        found.append((trial.hyperparameters["r"], trial.seeds.init, pack.alone))
        fails = trial.hyperparameters["r"] == 4 and trial.seeds.init == 1
        scheduler.on_done(pack, [done_row(trial, "oom" if fails else "ok")])
    assert found == [(4, 1, True), (8, 1, True), (4, 2, True), (8, 2, False), (4, 3, False), (8, 3, False)]


class Asks:
    """A search of one cell that asks for the first seeds of growing ranks."""

    def __init__(self, plan: Plan, cell: Cell) -> None:
        points = [plan.complete(cell, {"lr": 1e-3, "r": rank}) for rank in (1, 2, 3, 4, 5)]
        self.waiting = [Pack((plan.trial(cell, "search", point, plan.seeds(0.1)[0], KNOWN),)) for point in points]
        self.told = 0

    def ask(self) -> Pack | None:
        """The next one."""
        return self.waiting.pop(0) if self.waiting else None

    def rung(self, pack: Pack, index: int, value: float) -> bool:
        """Never stops one."""
        return False

    def tell(self, pack: Pack, rows: list[Done]) -> None:
        """Count it."""
        self.told += 1

    @property
    def exhausted(self) -> bool:
        """Whether all were asked for."""
        return not self.waiting

    @property
    def finished(self) -> bool:
        """Whether all were told."""
        return self.told == 5


def test_in_a_search_the_next_trial_measures_where_the_first_fails() -> None:
    """Whatever their shapes, a search has one such trial; what it chooses is measured in the confirm stage."""
    study = tiny_study(
        methods={"lora": {"lr": {"loguniform": [1e-4, 1e-2]}, "r": {"int": [1, 8]}}},
        search={"optuna": {"trials": 5, "confirm_seeds": 2}},
    )
    plan = Plan(study)
    (cell,) = plan.cells()
    both = lambda cell, best: [best, plan.default(cell)]  # noqa: E731
    scheduler = Scheduler(plan, KNOWN, {}, both, searches={cell: Asks(plan, cell)})
    found: list[tuple[str, int, bool]] = []
    while (pack := scheduler.next_pack()) is not None:
        trial = pack.trials[0]
        rank = trial.hyperparameters["r"]
        found.append((trial.stage, rank, pack.alone))
        status = {1: "diverged", 2: "oom"}.get(rank, "ok") if trial.stage == "search" else "ok"
        scheduler.on_done(pack, [done_row(trial, status, select=rank / 10)])
    assert found[:5] == [("search", rank, rank < 4) for rank in (1, 2, 3, 4, 5)]
    confirm = found[5:]
    assert confirm[:2] == [("confirm", 5, False), ("confirm", 8, True)]
    assert [one for _, _, one in confirm[2:]] == [False, False]
