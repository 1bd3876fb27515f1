"""The benchmarks' own code at tiny size: arithmetic by hand, the history file, records of trials that train nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import Record
from finebench.bench.study.plan import Plan
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.messages import Shipment
from tests.bench.stored import take_stock
from tests.bench.tiny import tiny_prepared
from tests.benchmarks import bare, history, yardstick
from tests.benchmarks.figures import Run, ScoresDiffer, check_scores, figures, ratios, reached
from tests.benchmarks.machine import descendants, private_bytes, sampled
from tests.benchmarks.noop import NoopWorker, noop_record
from tests.benchmarks.scale import Scaled, make_study
from tests.benchmarks.setting import embedded, trials


def row(name: str, score: float = 0.5, **more: float) -> dict[str, Any]:
    fixed = {"trial_id": name, "score": score, "score_last": score, "select_score": score}
    return fixed | {"train_flops": 3e9, "examples": 100, "seconds": 2.0} | more


NAMES = ["a", "b", "c", "d"]
BARE = Run(
    "bare",
    10.0,
    1,
    1,
    {
        "trials": 4,
        "load_seconds": 1.0,
        "work_seconds": 8.0,
        "train_seconds": 6.0,
        "peak_flops": 1e9,
        "rows": [row(name) for name in NAMES],
    },
)
OURS = Run(
    "finebench",
    8.0,
    2,
    2,
    {
        "trials": 4,
        "train_seconds": 6.0,
        "first_start": 2.5,
        "stored": [4.0, 4.5, 6.5, 7.0],
        "rows": [row(name) for name in NAMES],
    },
)
STOCK = Run("stock", 40.0, 3, 2, {"trials": 4, "train_seconds": 9.0})


def test_overhead_is_slot_time_beyond_the_bare_loops_work() -> None:
    found = figures(1, OURS, BARE)
    assert found.overhead_per_trial == (8.0 * 2 - 8.0) / 4
    # after the second row: 2.5 s on two slots for two trials of two seconds
    assert found.warm_overhead_per_trial == ((7.0 - 4.5) * 2 - 4.0) / 2
    assert found.mfu == 12e9 / (8.0 * 2 * 1e9)
    assert found.mfu_training == 12e9 / (6.0 * 1e9)
    assert (found.trials_per_hour, found.examples_per_second) == (1800.0, 50.0)
    assert figures(1, STOCK, BARE).overhead_per_trial is None


def test_ratios_are_of_medians_and_marks_have_directions() -> None:
    table = [figures(1, run, BARE) for run in (STOCK, BARE, OURS)]
    found = ratios(table, [8.0])
    assert (found["times_stock"], found["times_floor"], found["loop_times_trainer"]) == (5.0, 2.0, 1.5)
    # two slots: a floor of 4 s; rows came from 2.5 s to 7 s; a loop loads for 1 s
    assert (found["running_times_floor"], found["loops_times_floor"]) == (4.5 / 4.0, 5.0 / 4.0)
    assert reached("times_stock", 6.1, 6.0)
    assert not reached("times_stock", 5.9, 6.0)
    assert reached("times_floor", 1.05, 1.1)
    assert not reached("times_floor", 1.2, 1.1)


def test_one_bit_of_a_score_is_noticed() -> None:
    check_scores(BARE, OURS)
    rows = [row(name, 0.5 + 2**-53 * (name == "c")) for name in NAMES]
    with pytest.raises(ScoresDiffer, match="1 of 4 trials, first c"):
        check_scores(BARE, Run("finebench", 8.0, 2, 2, {**OURS.found, "rows": rows}))
    with pytest.raises(ScoresDiffer, match="other trials"):
        check_scores(BARE, Run("finebench", 8.0, 2, 2, {**OURS.found, "rows": rows[:3]}))


def test_the_yardstick_prints_stores_and_fails_where_scores_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = {"stock": STOCK, "bare": BARE, "finebench": OURS}
    monkeypatch.setattr(yardstick, "run_way", lambda way, setting: runs[way])
    console = Console(width=140, record=True)
    assert yardstick.compare([embedded()], 2, tmp_path, tmp_path / "history", console) == 0
    text = console.export_text()
    assert "times_stock 5.000  mark 6: MISSED" in text
    assert "no earlier run" in text
    assert (tmp_path / "yardstick-cpu.parquet").is_file()
    runs["finebench"] = Run("finebench", 8.0, 2, 2, {**OURS.found, "rows": [row(name, 0.4) for name in NAMES]})
    assert yardstick.compare([embedded()], 1, tmp_path, tmp_path / "history", console) == 1


def test_history_is_of_one_machine_and_setting(tmp_path: Path) -> None:
    about = {"machine": "Some CPU @ 2.0GHz · 2 cores", "commit": "0123456789abcdef"}
    path = history.append(about, "one", 3, {"times_stock": 6.0}, tmp_path)
    history.append(about, "two", 3, {"times_stock": 9.0}, tmp_path)
    assert path.name == "some-cpu-2-0ghz-2-cores.jsonl"
    assert [json.loads(line)["setting"] for line in path.read_text().splitlines()] == ["one", "two"]
    before = history.last(about["machine"], "one", tmp_path)
    assert before is not None
    assert "times_stock: 6 → 6.6 (+10.0 %)" in history.changes(before, {"times_stock": 6.6})[1]
    assert history.last("another machine", "one", tmp_path) is None
    assert history.last(about["machine"], "three", tmp_path) is None


def test_the_settings_have_the_trials_that_they_say() -> None:
    ready = embedded().prepared()
    found = trials(ready)
    assert len({trial.id for trial in found}) == 48
    assert {trial.budget.steps for trial in found} == {30, 60}
    assert len(trials(embedded(tiny=True).prepared())) == 4


def test_the_bare_loop_trains_every_trial() -> None:
    found = bare.run(embedded(tiny=True))
    assert found["trials"] == 4
    assert found["work_seconds"] >= found["train_seconds"] > 0
    assert all(row["train_flops"] > 0 and row["steps"] == 3 for row in found["rows"])
    assert found["peak_flops"] > 1e8


def test_records_of_trials_that_train_nothing_are_sound(tmp_path: Path) -> None:
    ready = tiny_prepared()
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, 60.0)
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    for trial in ready.plan.grid(ready.known):
        folder.write(noop_record(shipment, trial))
    stock = take_stock(folder)
    assert {one.status for one in stock.done.values()} == {"ok"}
    assert stock.incomplete == []


def test_an_idle_worker_reports_as_a_worker_does() -> None:
    """Pack after pack, by the product's own code but for the training."""
    ready = tiny_prepared(seeds=2)
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, 600.0)
    configs = [
        {"pack": [trial.to_json()], "rungs": False, "measures": None, "rate": None, "beat": 5, "cpus": 1, "gpu": 0.0}
        for trial in ready.plan.grid(ready.known)
    ]
    worker = object.__new__(NoopWorker)
    for k, config in enumerate(configs):
        if k == 0:
            worker.setup(config, shipment=shipment)
        else:
            assert worker.reset_config(config)
        said = worker.step()
        assert said["done"]
        assert [Record.decode(data).trial["trial_id"] for data in said["payload"]["records"]] == [
            Trial.from_json(config["pack"][0]).id
        ]


@pytest.mark.parametrize("search", ["grid", "optuna"])
def test_the_scale_study_has_as_many_trials_as_asked_for(search: str) -> None:
    assert Plan(make_study(10_000, search)).count() == 10_000


def test_cost_per_trial_is_compared_between_the_tenths() -> None:
    steady = Scaled([0.1 * k for k in range(1, 101)], [], 11.0)
    assert steady.per_trial == pytest.approx((0.1, 0.1, 0.1))
    slowing = Scaled([0.001 * k**2 for k in range(1, 101)], [], 11.0)
    assert slowing.per_trial[2] > 10 * slowing.per_trial[1]


def test_memory_is_read_of_processes_and_over_time() -> None:
    assert os.getpid() in descendants(os.getpid())
    assert private_bytes(os.getpid()) > 2**20
    with sampled(lambda: 7, every=0.01) as seen:
        pass
    assert [size for _, size in seen][-1] == 7
