"""What a search rests on: divergence is told, results in the order of suggestion, the space as it is now."""

import itertools
import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from finebench.bench.results.folder import Done, ResultsFolder
from finebench.bench.results.scope import Scope
from finebench.bench.results.within import within
from finebench.bench.scheduling.optuna_search import OptunaCell, outcome
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Plan
from finebench.bench.training.worker.messages import Pack
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.util.errors import ResultsError
from tests.bench.scheduling.test_optuna_search import KNOWN, search_plan
from tests.bench.scheduling.test_scheduler import done_row

Told = dict[tuple[str, bool], Done]
CONSTANT = 0.5
"""The constant predictor's score on `select`."""

WIDE = {"full": {"lr": {"loguniform": [1e-5, 1.0]}}}


def lr_of(pack: Pack) -> float:
    return float(pack.trials[0].hyperparameters["lr"])


def cliff(pack: Pack) -> tuple[str, float]:
    """Better and better up to 1e-2, and diverged beyond: as learning rates are."""
    lr = lr_of(pack)
    return ("diverged", CONSTANT) if lr > 1e-2 else ("ok", 0.6 + 0.1 * math.log10(lr / 1e-5))


def one_cell(plan: Plan, folder: Path, done: Told | None = None, parallel: int = 1) -> OptunaCell:
    (cell,) = plan.cells()
    return OptunaCell(plan, cell, KNOWN, ResultsFolder(str(folder)), done or {}, lambda one, pruned: [0.1], parallel)


def train(search: OptunaCell, trainer: Callable[[Pack], tuple[str, float]], workers: int = 1, seed: int = 0) -> Told:
    """Simulate `workers` of different speed until nothing is left, or a number of them has ended."""
    rng, busy, done = random.Random(seed), list[Pack](), Told()
    while True:
        while len(busy) < workers and (pack := search.ask()) is not None:
            busy.append(pack)
        if not busy:
            return done
        pack = busy.pop(rng.randrange(len(busy)))
        rows = [done_row(trial, *trainer(pack)) for trial in pack.trials]
        done |= {(row.trial_id, False): row for row in rows}
        search.tell(pack, rows)


@pytest.mark.parametrize("task", ["mini-cola", "mini-mrpc"])  # each is a stream of suggestions of its own
def test_a_search_keeps_away_from_where_runs_diverge(tmp_path: Path, task: str) -> None:
    """Told nothing of divergence, TPE has 14 diverge of 20 here: the good runs stand at the very edge. A third of the
    range diverges, and the first six are at random."""
    done = train(one_cell(search_plan([task], WIDE, trials=20, seeds=1), tmp_path), cliff)
    assert len(done) == 20
    assert sum(row.status == "diverged" for row in done.values()) <= 9


@pytest.mark.parametrize(
    ("statuses", "scores", "told"),
    [
        (["ok", "ok"], [0.6, 0.8], 0.7),
        (["ok", "diverged"], [0.8, CONSTANT], 0.65),
        (["diverged", "diverged"], [CONSTANT, CONSTANT], CONSTANT),
        (["ok", "ok", "oom"], [0.6, 0.8, None], 0.7),  # more than half count, as in the choice
        (["ok", "oom"], [0.6, None], None),
        (["ok", "ok"], [0.6, math.nan], None),  # undefined: a seed that is not there
        (["ok", "ok", "ok"], [0.6, 0.8, math.inf], 0.7),
        (["timeout", "error"], [None, None], None),
        (["diverged", "diverged"], [None, None], None),
    ],
)
def test_a_configuration_is_told_as_the_choice_counts_it(
    tmp_path: Path, statuses: list[str], scores: list[float | None], told: float | None
) -> None:
    search = one_cell(search_plan(methods=WIDE, seeds=len(statuses)), tmp_path)
    pack = search.ask()
    assert pack is not None
    rows = [done_row(*each) for each in zip(pack.trials, statuses, scores, strict=True)]
    state, value = outcome(rows)
    assert state == (TrialState.FAIL if told is None else TrialState.COMPLETE)
    assert value == (None if told is None else pytest.approx(told))
    search.tell(pack, rows)
    assert search.study.trials[0].state == state


def suggested(folder: Path) -> list[Any]:
    files = ResultsFolder(str(folder))
    names = files.files("search", recursive=True)
    return [files.read_json(f"search/{name}")["params"] for name in names]


@pytest.mark.parametrize("parallel", [1, 3])
def test_suggestions_do_not_depend_on_workers_or_time(tmp_path: Path, parallel: int) -> None:
    """One worker, as --debug has it; three; three of other speeds: the same suggestions in the same order."""
    plan = search_plan(methods=WIDE, trials=12, seeds=1)
    for place, (workers, seed) in enumerate([(1, 0), (3, 0), (3, 1), (9, 2)]):
        train(one_cell(plan, tmp_path / str(place), parallel=parallel), cliff, workers, seed)
    assert (
        suggested(tmp_path / "0") == suggested(tmp_path / "1") == suggested(tmp_path / "2") == suggested(tmp_path / "3")
    )
    assert len(suggested(tmp_path / "0")) == 12


def test_no_more_is_suggested_than_may_be_under_way(tmp_path: Path) -> None:
    search = one_cell(search_plan(methods=WIDE, trials=12, seeds=1), tmp_path, parallel=2)
    first, second = search.ask(), search.ask()
    assert first is not None
    assert second is not None
    assert search.ask() is None
    search.tell(second, [done_row(trial) for trial in second.trials])
    assert search.ask() is None  # it would rest on the first one's result
    search.tell(first, [done_row(trial) for trial in first.trials])
    assert search.ask() is not None
    search.parallel = 4  # more places: more at once
    assert search.ask() is not None
    assert search.ask() is not None


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_search_of_several_at_once_resumes_with_the_same_suggestions(tmp_path: Path, parallel: int, cut: int) -> None:
    plan = search_plan(methods=WIDE, trials=12, seeds=2)
    train(one_cell(plan, tmp_path / "whole", parallel=parallel), cliff, parallel)
    first, done = one_cell(plan, tmp_path / "parts", parallel=parallel), Told()
    asked = [pack for pack in (first.ask() for _ in range(parallel)) if pack is not None]
    for _ in range(cut):
        pack = asked.pop(-1)  # the last one ends first
        rows = [done_row(trial, *cliff(pack)) for trial in pack.trials]
        first.tell(pack, rows)
        done |= {(row.trial_id, False): row for row in rows}
        asked += [pack for pack in iter(first.ask, None) if pack is not None]
        if not asked:
            break
    train(one_cell(plan, tmp_path / "parts", done, parallel), cliff, parallel)
    assert suggested(tmp_path / "parts") == suggested(tmp_path / "whole")


LRS = st.sampled_from(
    [{"loguniform": [1e-5, 1e-2]}, {"loguniform": [1e-3, 1e-1]}, {"uniform": [1e-4, 5e-3]}, {"choice": [1e-3, 1e-2]},
     {"choice": [1e-2, 0.1, 1e-4]}, [1e-3, 1e-2], 1e-3]
)  # fmt: skip
RANKS = st.sampled_from([{"int": [2, 9]}, {"int": [8, 30]}, {"choice": [4, 8]}, {"choice": [8, 16]}, [8, 16], 8, 4])
SEARCHED = st.fixed_dictionaries(
    {"lr": LRS}, optional={"r": RANKS, "dropout": st.sampled_from([{"uniform": [0.0, 0.2]}, 0.0])}
)


@given(SEARCHED, SEARCHED, st.integers(2, 6), st.integers(2, 6), st.integers(1, 3), st.integers(0, 4))
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
def test_a_search_over_a_changed_space_stays_in_it_and_within_its_budget(
    tmp_path_factory: pytest.TempPathFactory, old: Any, new: Any, many: int, trials: int, parallel: int, lost: int
) -> None:
    """Nothing outside is run or told; what lies inside counts; no more than asked for; back again, all as it was."""
    folder = tmp_path_factory.mktemp("changed")
    before, now = (
        search_plan(methods={"lora": space}, trials=number, seeds=1) for space, number in ((old, many), (new, trials))
    )
    done = train(one_cell(before, folder, parallel=parallel), cliff, parallel)
    for key in list(done)[len(done) - min(lost, len(done)) :]:
        del done[key]  # suggested, and its driver killed
    part, search = within(Scope(now), done), one_cell(now, folder, done, parallel)
    (cell,) = now.cells()
    ran = train(search, cliff, parallel)
    assert search.finished
    scope = Scope(now, {cell.key: search.beyond})
    held = within(scope, done | ran)
    assert ran.keys() <= held.keys()
    assert len(held) == now.configurations(cell)
    assert len(ran) == max(now.configurations(cell) - len(within(scope, done)), 0)
    assert len(part) >= len(within(scope, done))
    told = [trial for trial in search.study.trials if trial.state == TrialState.COMPLETE]
    assert len(told) == len(held)
    again = one_cell(before, folder, done | ran, parallel)
    (cell,) = before.cells()
    back = within(Scope(before, {cell.key: again.beyond}), done | ran)
    assert len(again.order) == before.configurations(cell)
    assert set(done) <= set(back)  # what it had, and no more than it has trials
    assert len(back) <= before.configurations(cell)


def test_what_was_added_to_a_choice_is_tried_and_what_was_dropped_never_wins(tmp_path: Path) -> None:
    def plan(choices: list[float]) -> Plan:
        return search_plan(methods={"full": {"lr": {"choice": choices}}}, trials=9, seeds=1, confirm_seeds=1)

    def finish(plan: Plan, done: Told) -> tuple[Told, set[float]]:
        search = one_cell(plan, tmp_path, done)
        stored, cell = within(Scope(plan), done), next(plan.cells())
        scheduler = Scheduler(
            plan, KNOWN, stored, lambda cell, best: [best, plan.default(cell)], searches={cell: search}
        )
        confirmed = set()
        while (pack := scheduler.next_pack()) is not None:
            if pack.trials[0].stage == "confirm":
                confirmed.add(lr_of(pack))
            rows = [done_row(trial, "ok", lr_of(pack)) for trial in pack.trials]
            done = done | {(row.trial_id, False): row for row in rows}
            scheduler.on_done(pack, rows)
        assert scheduler.finished
        return done, confirmed

    default = plan([1e-3]).default(next(plan([1e-3]).cells()))["lr"]
    done, confirmed = finish(plan([1e-4, 1e-3, 0.1]), {})
    assert confirmed == {0.1, default}
    done, confirmed = finish(plan([1e-4, 1e-3, 1e-2]), done)
    assert 1e-2 in confirmed
    assert {lr_of_row(row) for row in done.values() if row.stage == "search"} == {1e-4, 1e-3, 1e-2, 0.1}


def lr_of_row(row: Done) -> float:
    return float(json.loads(row.configuration)["lr"])


def test_a_fixed_value_that_changed_is_another_configuration(tmp_path: Path) -> None:
    """What was drawn says nothing of what was fixed: the whole configuration is written down."""
    space = {"lora": {"lr": {"loguniform": [1e-4, 1e-2]}, "r": 4}}
    train(one_cell(search_plan(methods=space, trials=3, seeds=1), tmp_path), cliff)
    other = search_plan(methods={"lora": space["lora"] | {"r": 16}}, trials=3, seeds=1)
    search = one_cell(other, tmp_path)
    assert (search.order, search.redo, search.number) == ([], [], 3)
    ran = train(search, cliff)
    assert len(ran) == 3
    assert len(suggested(tmp_path)) == 6


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a suggestion"),
        ('{"number": 0}', "params"),
        ('{"number": -1, "params": {}}', "number"),
        ('{"number": 0, "params": [1]}', "params"),
    ],
)
def test_a_suggestion_that_cannot_be_read_is_named(tmp_path: Path, content: str, says: str) -> None:
    plan = search_plan(methods=WIDE, trials=2, seeds=1)
    name = one_cell(plan, tmp_path).name
    ResultsFolder(str(tmp_path)).write_bytes(f"search/{name}/000000.json", content.encode())
    with pytest.raises(ResultsError, match=f"000000.json.*{says}"):
        one_cell(plan, tmp_path)


@pytest.mark.parametrize("params", [{"lr": "x"}, {"lr": None}, {"lr": True}, {"r": 3}, {}, {"lr": [1]}, {"lr": 9e9}])
def test_a_suggestion_of_no_configuration_is_outside(tmp_path: Path, params: Any) -> None:
    plan = search_plan(methods=WIDE, trials=2, seeds=1)
    folder = ResultsFolder(str(tmp_path))
    name = one_cell(plan, tmp_path).name
    folder.write_json(f"search/{name}/000000.json", {"number": 0, "params": params})
    search = one_cell(plan, tmp_path)
    assert len(train(search, cliff)) == 2
    assert all(1e-5 <= trial.params["lr"] <= 1.0 for trial in search.study.trials)
    assert list(itertools.islice(suggested(tmp_path), 1)) == [params]


def test_a_rung_counts_a_diverged_seed_as_the_choice_does_also_when_it_is_replayed(tmp_path: Path) -> None:
    """Else a configuration of which one seed of two diverged would be as good as the other seed at each later rung."""
    plan = search_plan(methods=WIDE, seeds=2, scheduler="asha")
    search = one_cell(plan, tmp_path)
    pack = search.ask()
    assert pack is not None
    rows = [done_row(pack.trials[0], "diverged", CONSTANT), done_row(pack.trials[1], "ok", 0.9)]
    curves = {rows[0].trial_id: [0.6], rows[1].trial_id: [0.6, 0.8, 0.9]}
    done = {(row.trial_id, False): row for row in rows}
    (cell,) = plan.cells()
    again = OptunaCell(plan, cell, KNOWN, ResultsFolder(str(tmp_path)), done, lambda one, pruned: curves[one])
    assert again.study.trials[0].intermediate_values == pytest.approx({1: 0.6, 2: 0.65, 3: 0.7})
    assert again.study.trials[0].value == pytest.approx(0.7)


def test_a_running_pack_reports_a_diverged_seed_as_the_choice_counts_it() -> None:
    class Seed:
        """A member that ends after some evaluations."""

        def __init__(self, curve: list[float], status: str) -> None:
            self.curve, self.status, self.index = curve, status, 0

        def advance(self) -> Any:
            self.index += 1
            if self.finished:
                return None
            return SimpleNamespace(select=SimpleNamespace(metrics={"mcc": self.curve[self.index - 1]}))

        @property
        def finished(self) -> bool:
            return self.index > len(self.curve)

        @property
        def constant(self) -> float | None:
            return CONSTANT if self.finished and self.status == "diverged" else None

    run = PackRun.__new__(PackRun)
    members: Any = [Seed([0.6], "diverged"), Seed([0.6, 0.8, 0.9], "ok")]
    run.members, run.metric, run.index, run._together = members, "mcc", 0, None
    run.ranks, run._meets = None, False
    found = []
    while (rung := run.advance()) is not None:
        found.append(rung.value)
    assert found == pytest.approx([0.6, 0.65, 0.7])
