"""Cell map, ledger, failures and efficiency, by numbers counted by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finebench.analysis.costs.efficiency import efficiency
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.sentences import state
from finebench.analysis.scores.coverage import cells
from finebench.analysis.scores.failures import failures
from finebench.analysis.scores.scores import scores
from finebench.analysis.uncertainty.tuning_cost import ledger, warnings
from finebench.bench.methods import methods
from tests.analysis.fixtures import BUDGET, Folder, empty


def read(folder: Folder) -> tuple[pd.DataFrame, Expectation]:
    results = load_results(folder.write())
    table = runs(results)
    return table, Expectation(results.plan, table)


def narrowed(path: Path, seeds: int = 2, lrs: Sequence[float] = (1e-3,)) -> Folder:
    """Four seeds of two learning rates and two methods, of which the study of today asks for few."""
    tiny = {"tasks": ["mini-cola"], "model": "embedded", "budget": [json.loads(BUDGET)]}
    folder = empty(path, **tiny, methods={"full": {"lr": list(lrs)}}, seeds=seeds)
    folder.plan("mini-cola", "full", 1.0, seeds * len(lrs), len(lrs))
    for method in ("full", "bitfit"):
        default = methods()[method]().model_dump()
        for seed in (1, 2, 3, 4):
            for lr in (1e-3, 1e-4):
                hp = {key: value for key, value in default.items() if key != "lr"}
                folder.add(task="mini-cola", method=method, seed=seed, lr=lr, hp=hp)
    return folder


def test_what_a_narrowed_study_asks_for_no_more_is_counted_apart(tmp_path: Path) -> None:
    found = mapped(narrowed(tmp_path))
    counts = ("done", "pending", "unplanned", "state")
    assert [found["full"][key] for key in ("planned", *counts)] == [2, 2, 0, 6, "done"]
    assert [found["bitfit"][key] for key in counts] == [0, None, 8, "empty"]
    said = state(pd.DataFrame(found.values()), True)
    assert said[0] == "2 of 2 planned runs are there."
    assert said[1].startswith("14 more runs are there of cells, configurations or seeds that the plan does not have")


def test_rows_of_other_settings_stand_in_for_none_that_is_planned(tmp_path: Path) -> None:
    """Of what is planned half is there; as many rows of a learning rate that has left do not fill the hole."""
    folder = narrowed(tmp_path, seeds=4, lrs=(1e-3, 3e-4))
    found = mapped(folder)["full"]
    assert [found[key] for key in ("planned", "done", "pending", "unplanned")] == [8, 4, 4, 4]


def test_a_study_that_cannot_be_read_here_counts_no_more_than_planned(tmp_path: Path) -> None:
    folder = narrowed(tmp_path)
    folder.study["methods"] = {"a method of its own": {"lr": [1e-3]}}
    found = mapped(folder)["full"]
    assert [found[key] for key in ("planned", "done", "unplanned")] == [2, 2, 6]


def mapped(folder: Folder) -> dict[str, dict[str, Any]]:
    found = cells(*read(folder)).astype(object)
    return {row["method"]: row for row in found.where(found.notna(), None).to_dict("records")}


def test_the_map_counts_every_ending(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1)
    folder.add(seed=2, score=0.5)  # no better than the constant
    folder.add(seed=3, status="diverged")
    folder.add(seed=4, status="oom")
    folder.add(seed=5, status="pruned", stage="search")
    folder.plan("alpha", "one", 1.0, 7, 1)
    folder.plan("alpha", "two", 1.0, 4, 2)
    found = mapped(folder)
    counts = ("planned", "done", "failed", "collapsed", "diverged", "pruned", "pending", "state")
    assert [found["one"][key] for key in counts] == [7, 3, 1, 2, 1, 1, 2, "failed"]
    assert [found["two"][key] for key in counts] == [4, 0, 0, 0, 0, 0, 4, "pending"]


def test_without_a_plan_nothing_is_said_to_be_pending(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1)
    row = mapped(folder)["one"]
    assert pd.isna(row["planned"])
    assert pd.isna(row["pending"])
    assert row["state"] == "done"


@pytest.mark.parametrize(("configurations", "pending"), [(1, 0), (2, 0)])
def test_a_best_configuration_that_is_the_default_halves_the_confirm_plan(
    tmp_path: Path, configurations: int, pending: int
) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1)
    for seed in (1001, 1002):
        for lr in (1e-3, 1e-4)[:configurations]:
            folder.add(seed=seed, stage="confirm", lr=lr)
    folder.plan("alpha", "one", 1.0, 1, 1)
    folder.plan("alpha", "one", 1.0, 4, 2, stage="confirm")
    row = mapped(folder)["one"]
    assert (row["planned"], row["pending"]) == (1 + 2 * configurations, pending)


def test_half_done_confirm_runs_are_pending(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1)
    folder.add(seed=1001, stage="confirm")
    folder.plan("alpha", "one", 1.0, 1, 1)
    folder.plan("alpha", "one", 1.0, 4, 2, stage="confirm")
    assert mapped(folder)["one"]["pending"] == 3


def test_the_ledger_adds_up_all_that_was_spent(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for lr in (1e-4, 1e-3):
        folder.add(lr=lr, train_seconds=100.0, eval_seconds=20.0, startup_seconds=None, steps=50)
    folder.add(seed=1001, stage="confirm", train_seconds=100.0, eval_seconds=20.0, startup_seconds=None, steps=50)
    folder.add(method="two", status="oom", train_seconds=None, eval_seconds=None, startup_seconds=None, steps=None)
    frame, _ = read(folder)
    one, two = ledger(frame, price_per_hour=10.0).to_dict("records")
    keys = (
        "cells",
        "configurations_fewest",
        "configurations_most",
        "trials",
        "confirm_trials",
        "steps",
        "train_seconds",
        "seconds",
        "search_trials",
        "search_seconds",
    )
    assert [one[key] for key in keys] == [1, 2, 2, 3, 1, 150, 300.0, 360.0, 2.0, 240.0]
    assert (one["cost"], one["search_cost"]) == (pytest.approx(1.0), pytest.approx(240 / 3600 * 10))
    assert (two["trials"], two["seconds"]) == (1, 0.0)
    assert "cost" not in ledger(frame)


def test_warnings_name_unequal_tuning_edges_and_seeds_used_twice(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for lr, select in ((1e-4, 0.6), (3e-4, 0.7), (1e-3, 0.9)):
        folder.add(lr=lr, select_score=select)
    for lr, select in ((1e-4, 0.6), (3e-4, 0.9), (1e-3, 0.7), (1e-2, 0.5)):
        folder.add(method="two", lr=lr, select_score=select)
    frame, expected = read(folder)
    first, edge, same = warnings(frame, scores(frame, expected), expected)
    assert first.startswith(
        "Methods were not given the same number of configurations: one 3, two 4 (for alpha at 100 %)"
    )
    assert edge.startswith("one: the chosen learning rate 0.001 is the highest that was tried, for alpha at 100 %")
    assert same.startswith("In 2 of 2 cells the same seeds chose the configuration and scored it.")


def test_no_warning_where_there_is_nothing_to_warn_of(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for method in ("one", "two"):
        for lr, select in ((1e-4, 0.6), (3e-4, 0.9), (1e-3, 0.7)):
            folder.add(method=method, lr=lr, select_score=select)
        folder.add(method=method, lr=3e-4, seed=1001, stage="confirm")
    frame, expected = read(folder)
    assert warnings(frame, scores(frame, expected), expected) == []


def test_failures_are_listed_with_their_reasons(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, status="diverged", reason="loss is nan at step 3")
    folder.add(seed=2, status="timeout", reason="3600 s")
    folder.add(seed=3)
    folder.add(seed=4, status="pruned", stage="search")
    frame, _ = read(folder)
    made = failures(frame)
    assert made[["seed", "status", "reason"]].values.tolist() == [
        [2, "timeout", "3600 s"],
        [1, "diverged", "loss is nan at step 3"],
    ]


def costs(folder: Folder) -> dict[str, dict[str, Any]]:
    frame, expected = read(folder)
    return {row["method"]: row for row in efficiency(frame, scores(frame, expected)).to_dict("records")}


def test_costs_come_from_exclusive_ok_runs_of_the_chosen_variant(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, hp={"r": 8}, train_seconds=10.0, examples=1000, select_score=0.9)
    folder.add(seed=1, hp={"r": 8}, lr=1e-4, train_seconds=14.0, examples=1000)  # another lr costs the same
    folder.add(seed=2, hp={"r": 8}, train_seconds=99.0, exclusive=False, select_score=0.9)
    folder.add(seed=3, hp={"r": 8}, train_seconds=1.0, status="diverged", select_score=0.9)
    folder.add(seed=1, hp={"r": 64}, train_seconds=500.0, select_score=0.1)
    row = costs(folder)["one"]
    assert (row["n"], row["train_seconds"], row["train_seconds_low"], row["train_seconds_high"]) == (
        2,
        12.0,
        10.0,
        14.0,
    )
    assert row["examples_per_second"] == pytest.approx((100 + 1000 / 14) / 2)
    assert (row["encoder_params"], row["head_params"], row["delta_bytes"]) == (900, 100, 4000)
    assert pd.isna(row["energy_joules"])


def test_ratios_are_to_the_method_that_trains_most(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(method="big", trainable_params=10_100, head_params=100, train_seconds=20.0, peak_memory_bytes=400)
    folder.add(method="small", trainable_params=200, head_params=100, train_seconds=5.0, peak_memory_bytes=100)
    found = costs(folder)
    assert found["small"]["reference"] == "big"
    keys = ("x_encoder_params", "x_train_seconds", "x_peak_memory_bytes")
    assert [found["small"][key] for key in keys] == [0.01, 0.25, 0.25]
    assert [found["big"][key] for key in keys] == [1.0, 1.0, 1.0]


def test_shared_runs_alone_give_counts_but_no_times(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(exclusive=False)
    row = costs(folder)["one"]
    assert (row["n"], row["encoder_params"], row["why"]) == (0, 900, "no run had its device to itself")
    assert pd.isna(row["train_seconds"])


def test_devices_are_never_mixed(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, device="slow", train_seconds=100.0)
    folder.add(seed=2, device="fast", train_seconds=10.0)
    frame, expected = read(folder)
    made = efficiency(frame, scores(frame, expected))
    assert made[["device", "train_seconds", "n"]].values.tolist() == [["fast", 10.0, 1], ["slow", 100.0, 1]]
