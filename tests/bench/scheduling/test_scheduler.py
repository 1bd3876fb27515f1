"""The order of work: breadth first, nothing twice, failures again, confirm on fresh seeds."""

import json
from dataclasses import replace

import pytest

from finebench.bench.results.folder import Done
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.parts.seeds import CONFIRM_BASE
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.selection import best_configuration
from finebench.bench.study.trial_id import Identity, Trial
from finebench.bench.training.worker.messages import Pack
from tests.bench.tiny import drain, tiny_study, with_default

KNOWN = Identities(Identity("m", "r"), {n: Identity(n, "1:x") for n in ("mini-cola", "mini-mrpc")})


def done_row(trial: Trial, status: str = "ok", select: float | None = 0.5) -> Done:
    """A finished trial as the results folder would tell it."""
    return Done(
        trial_id=trial.id,
        stage=trial.stage,
        status=status,
        cell=trial.cell,
        configuration=trial.configuration,
        seed=trial.seeds.code,
        select_score=select,
        steps=6,
        peak_memory_bytes=None,
        device=None,
    )


def test_seed_one_of_every_cell_runs_before_seed_two_of_any() -> None:
    """Breadth first over seeds."""
    plan = Plan(tiny_study(tasks=["mini-cola", "mini-mrpc"], seeds=3, fractions=[0.1, 1.0]))
    seeds = [pack.trials[0].seeds.init for pack in drain(Scheduler(plan, KNOWN, {}))]
    assert seeds == sorted(seeds)
    assert len(seeds) == 2 * 2 * 2 * 3


def test_inside_a_wave_the_longest_run_first() -> None:
    """The weight orders cells inside a seed's wave."""
    plan = Plan(tiny_study(fractions=[0.1, 0.5, 1.0], seeds=2))
    packs = drain(Scheduler(plan, KNOWN, {}, weight=lambda cell: cell.fraction))
    fractions = [pack.trials[0].fraction for pack in packs]
    assert fractions == [1.0, 1.0, 0.5, 0.5, 0.1, 0.1] * 2


def test_what_is_there_is_skipped_and_what_failed_runs_again() -> None:
    """ok and diverged are results; oom, timeout and error are run again."""
    plan = Plan(tiny_study(seeds=3))
    trials = [pack.trials[0] for pack in drain(Scheduler(plan, KNOWN, {}))]
    statuses = ["ok", "diverged", "oom", "timeout", "error"]
    done = {(t.id, False): done_row(t, s) for t, s in zip(trials, statuses, strict=False)}
    said: list[tuple[str, str, bool]] = []
    scheduler = Scheduler(plan, KNOWN, done, why=lambda t, reason, runs: said.append((t.id, reason, runs)))
    again = {pack.trials[0].id for pack in drain(scheduler)}
    assert again == {t.id for t in trials[2:]}
    assert len(said) == 6
    assert [runs for _, _, runs in said].count(False) == 2
    assert any("failed before (oom)" in reason for _, reason, _ in said)


def test_a_pruned_row_never_stands_in_for_a_grid_trial() -> None:
    """A pruned row is a search's own; the grid trial still runs."""
    plan = Plan(tiny_study())
    trial = drain(Scheduler(plan, KNOWN, {}))[0].trials[0]
    scheduler = Scheduler(plan, KNOWN, {(trial.id, True): done_row(trial, "pruned")})
    assert trial.id in {pack.trials[0].id for pack in drain(scheduler)}


def test_limit_counts_trials_started() -> None:
    """--trials N starts N trials and then is finished."""
    scheduler = Scheduler(Plan(tiny_study(seeds=3)), KNOWN, {}, limit=4)
    assert len(drain(scheduler)) == 4
    assert scheduler.finished


def finish(scheduler: Scheduler, pack: Pack, select: float) -> None:
    """End a pack with a `select` score."""
    scheduler.on_done(pack, [done_row(trial, select=select) for trial in pack.trials])


def test_confirm_reruns_best_and_default_on_fresh_seeds() -> None:
    """After a cell's grid is through, its best and its default configuration run on seeds that chose nothing."""
    study = tiny_study(methods={"full": {"lr": [1e-4, 1e-3]}}, seeds=2, search={"grid": {"confirm_seeds": 2}})
    scheduler = Scheduler(Plan(study), KNOWN, {}, with_default(Plan(study)))
    grid = drain(scheduler)
    assert len(grid) == 4
    assert not scheduler.finished
    for pack in grid:
        finish(scheduler, pack, 0.9 if pack.trials[0].hyperparameters["lr"] == 1e-4 else 0.1)
    confirm = [pack.trials[0] for pack in drain(scheduler)]
    assert {t.stage for t in confirm} == {"confirm"}
    assert {t.seeds.code for t in confirm} == {CONFIRM_BASE + 1, CONFIRM_BASE + 2}
    default = Plan(study).default(next(Plan(study).cells()))
    assert {t.hyperparameters["lr"] for t in confirm} == {1e-4, default["lr"]}


def test_a_resumed_study_confirms_what_an_uninterrupted_one_would() -> None:
    """Confirm trials follow from the rows alone."""
    study = tiny_study(methods={"full": {"lr": [1e-4, 1e-3]}}, seeds=1, search={"grid": {"confirm_seeds": 2}})
    first = Scheduler(Plan(study), KNOWN, {}, with_default(Plan(study)))
    packs = drain(first)
    for pack in packs:
        finish(first, pack, float(pack.trials[0].hyperparameters["lr"]))
    expected = {pack.name for pack in drain(first)}
    rows = {(p.name, False): done_row(p.trials[0], select=float(p.trials[0].hyperparameters["lr"])) for p in packs}
    assert {pack.name for pack in drain(Scheduler(Plan(study), KNOWN, rows, with_default(Plan(study))))} == expected


class Counted(tuple[str, str, float, str]):
    """A cell that counts how often it is compared with another one."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Counted.compared += 1
        return tuple.__eq__(self, other)

    __hash__ = tuple.__hash__


def test_a_start_with_confirm_seeds_looks_at_each_row_a_few_times() -> None:
    """Not once for every cell."""
    fractions = [round(0.05 * k, 2) for k in range(1, 16)]
    study = tiny_study(fractions=fractions, seeds=4, search={"grid": {"confirm_seeds": 2}})
    plan = Plan(study)
    trials = list(plan.grid(KNOWN))
    cells = len(list(plan.cells()))
    rows = {(t.id, False): replace(done_row(t), cell=Counted(t.cell)) for t in trials}
    Counted.compared = 0
    scheduler = Scheduler(plan, KNOWN, rows)
    assert scheduler.pending > 0
    assert (cells, len(rows)) == (30, 120)
    assert Counted.compared < 10 * len(rows) < cells * len(rows)


@pytest.mark.parametrize(("status", "counts"), [("ok", True), ("diverged", True), ("pruned", False), ("oom", False)])
def test_the_choice_counts_results_only(status: str, counts: bool) -> None:
    """Pruned and failed trials never win a choice."""
    trial = drain(Scheduler(Plan(tiny_study()), KNOWN, {}))[0].trials[0]
    found = best_configuration([done_row(trial, status).scored])
    assert (found is not None) == counts
    if found is not None:
        assert json.dumps(found, sort_keys=True) == trial.configuration
