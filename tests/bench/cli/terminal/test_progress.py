"""What a run shows while it goes on: counts, what is left, and a map in which no two cells look alike."""

import io
import math
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from finebench.bench.cli.terminal import progress
from finebench.bench.cli.terminal import tally as counts
from finebench.bench.cli.terminal.progress import LiveProgress, PlainProgress, cell_map, clock
from finebench.bench.cli.terminal.tally import Tally
from finebench.bench.results.folder import Done, done_of
from finebench.bench.scheduling.node_speeds import Slow
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.trial_id import Identity
from finebench.bench.training.worker.messages import Pack
from tests.bench.tiny import drain, tiny_study

KNOWN = Identities(Identity("embedded", "1"), {name: Identity(name, "1") for name in ("mini-cola", "mini-stsb")})


def started(done: dict[tuple[str, bool], Done] | None = None, **changes: Any) -> tuple[Tally, Scheduler]:
    plan = Plan(tiny_study(**changes))
    scheduler = Scheduler(plan, KNOWN, done or {})
    return Tally.of(plan, scheduler), scheduler


def row(pack: Pack, status: str = "ok", select: float | None = 0.5) -> dict[str, Any]:
    trial = pack.trials[0]
    cell = dict(zip(("task", "method", "fraction", "budget"), trial.cell, strict=True))
    about = {"trial_id": trial.id, "status": status, "reason": "because", "seed": trial.seeds.code, "lr": 1e-3}
    about |= {"stage": trial.stage, "hyperparameters": trial.configuration, "select_score": select, "score": 0.99}
    return dict.fromkeys((*Done.__dataclass_fields__, "train_seconds")) | cell | about


def done(pack: Pack, status: str = "ok") -> dict[tuple[str, bool], Done]:
    trial = pack.trials[0]
    stored = Done(trial.id, trial.stage, status, trial.cell, trial.configuration, 1, 0.5, 6, None, "cpu")
    return {(trial.id, status == "pruned"): stored}


def printed(renderable: Any, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]


def test_two_budgets_are_two_rows_that_can_be_told_apart() -> None:
    tally, _ = started(budget=[{"steps": 6}, {"epochs": 1.0, "min_steps": 8}])
    head, first, second = printed(cell_map(tally, 40))
    assert head.split() == ["task", "fraction", "budget", "full", "bitfit"]
    assert re.split(r"  +", first.strip()) == ["mini-cola", "0.1", "steps 6", "0/1", "0/1"]
    assert re.split(r"  +", second.strip()) == ["mini-cola", "0.1", "epochs 1, min_steps 8", "0/1", "0/1"]


def test_one_budget_needs_no_column() -> None:
    tally, _ = started()
    assert printed(cell_map(tally, 40))[0].split() == ["task", "fraction", "full", "bitfit"]


def test_what_was_done_before_counts_only_where_the_plan_asks_for_it() -> None:
    """A learning rate that has left the study stays in the folder, and is no part of what there is to do."""
    wide = {"methods": {"full": {"lr": [1e-3, 1e-4]}}}
    before = {key: one for pack in drain(started(**wide)[1]) for key, one in done(pack).items()}
    tally, _ = started(before, methods={"full": {"lr": [1e-3, 3e-4]}})
    assert (tally.done, tally.planned) == (1, 2)


def test_what_a_search_had_pruned_before_is_done() -> None:
    """An interrupted search goes on where it was, and so does its count."""
    before = {
        key: one
        for number, pack in enumerate(drain(started(seeds=3)[1]))
        for key, one in done(pack, "pruned" if number % 2 else "ok").items()
    }
    as_search = {key: Done(**{**vars(one), "stage": "search"}) for key, one in before.items()}
    search = {"optuna": {"trials": 3, "confirm_seeds": 0}}
    methods = {"full": {"lr": {"loguniform": [1e-4, 1e-2]}}, "bitfit": {"lr": {"loguniform": [1e-4, 1e-2]}}}
    plan = Plan(tiny_study(search=search, methods=methods))
    tally = Tally.of(plan, Scheduler(plan, KNOWN, as_search, searches=dict.fromkeys(plan.cells(), Nothing())))
    assert (tally.done, tally.planned) == (6, 6)


class Nothing:
    """A search that has nothing left to ask."""

    exhausted = finished = True

    def ask(self) -> None:
        """Nothing."""

    def rung(self, pack: Pack, index: int, value: float) -> bool:
        """Never asked."""
        raise AssertionError

    def tell(self, pack: Pack, rows: list[Done]) -> None:
        """Never told."""
        raise AssertionError


def test_what_is_left_follows_the_pace_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(counts, "time", SimpleNamespace(monotonic=lambda: now[0]))
    tally, scheduler = started(seeds=2)
    tally.started = now[0]
    assert tally.eta() is None
    packs = drain(scheduler)
    tally.start(packs[0])
    now[0] += 10
    tally.end(row(packs[0]))
    assert tally.eta() == 30.0  # three more, ten seconds each
    for pack in packs[1:]:
        tally.start(pack)
        tally.end(row(pack))
    assert tally.eta() is None
    assert [clock(one) for one in (None, 5, 65, 3661)] == ["?", "0:05", "1:05", "1:01:01"]


def test_piped_output_is_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_SECONDS", 0.0)
    tally, scheduler = started()
    console = Console(file=io.StringIO(), width=120)
    watch = PlainProgress(tally, console)
    first, second = drain(scheduler)
    watch.on_start(first)
    watch.on_start(second)
    watch.on_row(row(first))
    watch.on_row(row(second, "oom", None))
    watch.tick()
    failure, line = str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]
    assert failure.startswith("oom: mini-cola ")
    assert "because" in failure
    assert line.startswith("1/2 trials done, 0 running, 1 failed, ")


def test_a_cluster_s_nodes_slots_and_slowest_node_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_SECONDS", 0.0)
    tally, _ = started()
    console = Console(file=io.StringIO(), width=120)
    watch = PlainProgress(tally, console)
    watch.tick()
    watch.on_slots(4, 12, 3)
    tally.speeds._slowest = Slow("w3", 1.6)
    watch.tick()
    watch.close()
    alone, running, last = str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]
    slow = "slowest node w3: a step takes 1.6 times as long as elsewhere"
    assert alone.endswith(" left")
    assert running.endswith(f" left; 4 nodes, 12 slots in use, 3 packs waiting; {slow}")
    assert last.endswith(f" left; {slow}")
    live = LiveProgress(tally, Console(file=io.StringIO(), width=120, force_terminal=True))
    live.on_slots(1, 2, 0)
    shown = printed(live._render())
    live.close()
    assert shown[1] == f"1 node, 2 slots in use, 0 packs waiting; {slow}"


def test_a_terminal_gets_the_map_and_keeps_the_notes() -> None:
    tally, scheduler = started()
    console = Console(file=io.StringIO(), width=120, force_terminal=True)
    watch = LiveProgress(tally, console)
    first, second = drain(scheduler)
    watch.on_start(first)
    watch.on_row(row(first, select=0.25))
    watch.on_start(second)
    watch.on_row(row(second, "error", None))
    shown = "\n".join(printed(watch._render()))
    watch.close()
    assert "1/2 trials · 0 running · 1 failed" in shown
    assert "1/1 0.250" in shown
    assert "on select: the mean over its seeds of the best configuration so far" in shown
    assert "0/1 !1" in shown
    assert "error: mini-cola" in str(console.file.getvalue()).splitlines()[-1]  # type: ignore[attr-defined]


def test_a_confirm_stage_that_needs_half_its_trials_leaves_nothing_open() -> None:
    """The plan counts the best and the default configuration; here they are one."""
    tally, scheduler = started(methods={"full": {"lr": [2e-5]}}, search={"grid": {"confirm_seeds": 2}})
    assert tally.planned == 5
    while (pack := scheduler.next_pack()) is not None:
        tally.start(pack)
        tally.end(row(pack))
        scheduler.on_done(pack, list(done(pack).values()))
    assert (tally.done, tally.planned) == (3, 3)
    assert tally.eta() is None
    assert "3/3" in "".join(printed(cell_map(tally, 40)))


def test_the_best_of_an_earlier_run_is_in_the_map() -> None:
    """A map that forgot it would show a worse best after each resume; what a search stopped early counts in neither."""
    packs = drain(Scheduler(Plan(tiny_study(seeds=3)), KNOWN, {}))
    stored: dict[tuple[str, bool], Done] = {}
    for pack, status, select in zip(packs[::2], ("ok", "ok", "pruned"), (0.25, 0.75, 0.9), strict=True):
        one = done_of(row(pack, status, select))
        stored[one.trial_id, status == "pruned"] = one
    tally, scheduler = started(stored, seeds=3)
    assert "2/3 0.500" in printed(cell_map(tally, 40))[1]
    (left,) = (pack for pack in drain(scheduler) if pack.trials[0].cell == packs[0].trials[0].cell)
    for status, select in (("pruned", 0.9), ("diverged", math.nan), ("ok", 0.5)):
        tally.end(row(left, status, select))
    assert tally.cells[left.trials[0].cell].best == 0.5


def test_the_best_is_a_mean_on_select_and_no_held_out_maximum() -> None:
    """Of two learning rates of two seeds; a third one, of one lucky seed so far, is compared with nobody yet."""
    tally, scheduler = started(methods={"full": {"lr": [1e-3, 3e-4, 1e-4]}}, seeds=2)
    selects = iter((0.6, 0.7, 0.95, 0.8, 0.5))
    for pack in drain(scheduler)[:5]:
        tally.end(row(pack, select=next(selects)) | {"score": 0.99})
    (cell,) = tally.cells.values()
    assert cell.best == pytest.approx(0.7)  # (0.6 + 0.8) / 2, not (0.7 + 0.5) / 2, 0.95 or 0.99


def test_confirm_runs_choose_nothing_and_stand_in_no_best() -> None:
    tally, scheduler = started(methods={"full": {"lr": [2e-5]}})
    (pack,) = drain(scheduler)
    tally.end(row(pack, select=0.4))
    tally.end(row(pack, select=0.9) | {"stage": "confirm"})
    assert [cell.best for cell in tally.cells.values()] == [0.4]
