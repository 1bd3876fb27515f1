"""Ratios, the fraction that is enough, crossovers and fronts, as frames: by numbers counted by hand."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from finebench.analysis.costs.crossovers import amount, crossovers
from finebench.analysis.costs.data_efficiency import reached
from finebench.analysis.costs.pareto import fronts
from finebench.analysis.costs.ratios import ratios
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.contents import analyse
from finebench.analysis.report.layout import tables
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from tests.analysis.claim_folder import drawn
from tests.analysis.fixtures import Folder, empty

Read = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, Samples]


def read(folder: Folder) -> Read:
    """Runs, evals, scores and samples of a folder."""
    results = load_results(folder.write())
    table = runs(results)
    samples = Samples(results, table)
    return table, results.evals, scores(table, Expectation(results.plan, table), samples), samples


def priced(path: Path) -> Folder:
    """Two methods on two tasks; the small one takes half of the time, on a slow seed as on a fast one."""
    folder = empty(path, tasks=["alpha", "beta"])
    for task, slow in (("alpha", 1.0), ("beta", 3.0)):
        for seed, pace in ((1, 1.0), (2, 2.0), (3, 4.0)):
            for method, share, params in (("big", 1.0, 10_100), ("small", 0.5, 200)):
                wobble = 1.1 if (seed, method) == (3, "small") else 1.0
                folder.add(
                    task=task, method=method, seed=seed, train_seconds=10 * slow * pace * share * wobble,
                    trainable_params=params, head_params=100, peak_memory_bytes=int(1000 * share),
                )  # fmt: skip
    return folder


def test_ratios_pair_by_task_and_seed(tmp_path: Path) -> None:
    table, _, scored, _ = read(priced(tmp_path))
    found = {row["cost"]: row for row in ratios(table, scored).to_dict("records")}
    time = found["train_seconds"]
    assert (time["method"], time["reference"], time["n"], time["tasks"]) == ("small", "big", 6, 2)
    assert time["ratio"] == pytest.approx(0.5 * 1.1 ** (1 / 3))
    # pairs take the slow seeds out: seeds differ fourfold, and the interval is a few percent wide
    assert 0.4 < time["low"] < 0.5 < time["high"] < 0.62
    assert found["encoder_params"]["ratio"] == pytest.approx(0.01)
    assert found["peak_memory_bytes"]["ratio"] == 0.5
    assert found["peak_memory_bytes"]["why"] == "the same in every pair: no interval"
    assert "energy_joules" not in found  # it was not read


def test_tasks_whose_ratios_differ_do_not_widen_the_interval(tmp_path: Path) -> None:
    """Ratios of 0.5 and 0.125 in two tasks, both within a few percent: 0.25 on these tasks, and surely below 0.3."""
    folder = empty(tmp_path)
    for task, share in (("alpha", 0.5), ("beta", 0.125)):
        for seed, wobble in ((1, 1.0), (2, 1.02), (3, 0.98)):
            for method, cost, params in (("big", 1.0, 10_100), ("small", share * wobble, 200)):
                folder.add(task=task, method=method, seed=seed, train_seconds=8 * cost, trainable_params=params)
    table, _, scored, _ = read(folder)
    found = {row["cost"]: row for row in ratios(table, scored).to_dict("records")}
    time = found["train_seconds"]
    assert time["ratio"] == pytest.approx(0.25, rel=0.01)
    logs = np.log([1.0, 1.02, 0.98])
    half = stats.t.ppf(0.975, 2) * np.sqrt(logs.var(ddof=1) / 3)  # a seed is slow on both tasks: three pairs, not six
    assert time["high"] / time["ratio"] == pytest.approx(np.exp(half))
    assert (time["n"], time["tasks"]) == (6, 2)


def test_a_count_that_differs_by_task_has_a_range_and_no_interval(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for task, head in (("alpha", 100), ("beta", 200)):
        for method, params in (("big", 10_000), ("small", 100)):
            folder.add(task=task, method=method, trainable_params=params + head, head_params=head,
                       delta_bytes=4 * (params + head))  # fmt: skip
    table, _, scored, _ = read(folder)
    stored = ratios(table, scored).set_index("cost").loc["delta_bytes"]
    assert np.isnan(stored["low"])
    assert stored["why"] == f"{200 / 10100:.3g} to {300 / 10200:.3g} by task: a count, no interval"


def test_what_shared_its_device_is_in_no_pair(tmp_path: Path) -> None:
    folder = priced(tmp_path)
    for row in folder.rows["trials"]:
        row["exclusive"] = not (row["seed"] == 3 and row["method"] == "small")
    table, _, scored, _ = read(folder)
    time = ratios(table, scored).set_index("cost").loc["train_seconds"]
    assert (time["n"], time["ratio"]) == (4, pytest.approx(0.5))


def test_a_head_that_trains_no_encoder_costs_nothing_of_it(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for method, params in (("big", 10_100), ("none", 100)):
        folder.add(method=method, trainable_params=params, head_params=100)
    table, _, scored, _ = read(folder)
    found = ratios(table, scored).set_index("cost").loc["encoder_params"]
    assert (found["ratio"], found["why"]) == (0.0, "a cost of 0: no interval")


def test_the_fraction_that_reaches_a_share_of_the_reference(tmp_path: Path) -> None:
    truth = {
        "big": {"mean": {0.1: 0.60, 1.0: 0.90}, "sd": 1e-4, "params": 9000},
        "quick": {"mean": {0.1: 0.86, 1.0: 0.90}, "sd": 1e-4},
        "weak": {"mean": {0.1: 0.55, 1.0: 0.70}, "sd": 1e-4},
        "early": {"mean": {0.1: 0.95, 1.0: 0.95}, "sd": 1e-4},
    }
    _, _, scored, samples = read(drawn(tmp_path, truth, [], fractions=(0.1, 1.0)))
    found = {(row["method"], row["share"]): row for row in reached(scored, samples).to_dict("records")}
    quick = found["quick", 0.95]
    assert (quick["reference"], quick["outcome"], quick["n"]) == ("big", "reached", 10)
    assert quick["target"] == pytest.approx(0.5 + 0.95 * 0.4, abs=1e-3)  # of the gain over the constant 0.5
    assert quick["fraction"] == pytest.approx(10 ** (-1 + (0.88 - 0.86) / 0.04), rel=0.02)
    assert quick["low"] < quick["fraction"] < quick["high"]
    assert found["weak", 0.95]["outcome"] == "not reached"
    assert math.isnan(found["weak", 0.95]["fraction"])
    assert (found["early", 0.99]["outcome"], found["early", 0.99]["fraction"]) == (
        "reached at the smallest fraction",
        0.1,
    )
    assert found["quick", 0.95]["why"] == ""
    assert "outside what was measured" in found["weak", 0.95]["why"]


def test_a_reference_that_learned_nothing_sets_no_target(tmp_path: Path) -> None:
    _, _, scored, samples = read(drawn(tmp_path, {"big": {"mean": 0.4}}, [], fractions=(0.1, 1.0)))
    assert set(reached(scored, samples)["why"]) == {"the reference learned nothing"}
    _, _, scored, samples = read(drawn(tmp_path / "one", {"big": {"mean": 0.4}}, []))
    assert reached(scored, samples).empty  # one fraction is no curve


def crossing(path: Path, exclusive: bool = True) -> Folder:
    """A method that starts ahead and one that ends ahead: they meet at √(20 · 100) steps."""
    folder = empty(path)
    for seed in (1, 2, 3):
        for method, scale, ends in (("soon", 2.0, (0.7, 0.7, 0.75)), ("late", 1.0, (0.6, 0.65, 0.85))):
            trial = folder.add(method=method, seed=seed, exclusive=exclusive, score=ends[-1] + 0.001 * seed)
            scored = zip((4, 20, 100), (0.5, 0.6, 0.7), ends, strict=True)
            folder.curve(trial, [(step, select, y + 0.001 * seed) for step, select, y in scored])
            for row in folder.rows["evals"]:
                if row["trial_id"] == trial:
                    row["train_seconds"], row["train_flops"] = 0.1 * scale * row["step"], 1e9 * row["step"]
    return folder


def test_crossovers_in_steps_seconds_and_flops(tmp_path: Path) -> None:
    found = {row["axis"]: row for row in crossovers(*read(crossing(tmp_path))).to_dict("records")}
    assert set(found) == {"steps", "seconds", "flops"}
    steps = found["steps"]
    assert (steps["method"], steps["other"], steps["n"], steps["kind"]) == ("late", "soon", 3, "learning curve")
    # soon is 0.05 ahead at step 20 and 0.10 behind at step 100: a third of the way in log steps
    assert steps["x"] == pytest.approx(20 * 5 ** (1 / 3))
    assert steps["final"] == pytest.approx(0.10)
    assert found["flops"]["x"] == pytest.approx(1e9 * steps["x"])
    # in seconds the other one is twice as slow, so that it is caught sooner
    assert 2.0 < found["seconds"]["x"] < 0.1 * 2 * steps["x"]


def test_seconds_of_shared_runs_are_on_no_axis(tmp_path: Path) -> None:
    assert set(crossovers(*read(crossing(tmp_path, exclusive=False)))["axis"]) == {"steps", "flops"}


def test_methods_that_never_swap_are_not_listed(tmp_path: Path) -> None:
    folder = crossing(tmp_path)
    for row in folder.rows["evals"]:
        row["value"] += 0.3 * (row["train_seconds"] == 0.1 * row["step"])  # late is ahead throughout
    assert crossovers(*read(folder)).empty


def test_curves_that_cross_by_noise_are_not_listed_but_told(tmp_path: Path) -> None:
    """Seed 1 swaps the other way round: the mean curves cross, and three seeds do not show that the methods do."""
    folder = crossing(tmp_path)
    swapped = {row["trial_id"]: row["method"] for row in folder.rows["trials"] if row["seed"] == 1}
    for row in folder.rows["evals"]:
        if row["split"] == "score" and row["trial_id"] in swapped:
            row["value"] += (0.08 if swapped[row["trial_id"]] == "late" else -0.08) * (1 if row["step"] < 100 else -1)
    found = crossovers(*read(folder))
    assert set(found["axis"]) >= {"steps", "flops"}
    assert not found["shown"].any()
    table = tables(analyse(load_results(str(tmp_path))))["crossovers"]
    assert table.frame.empty
    assert "cross, but are not shown to differ before and after: late and soon on alpha (steps" in table.note
    assert table.empty_tells
    clear = tables(analyse(load_results(crossing(tmp_path / "clear").write())))["crossovers"]
    assert set(clear.frame["axis"]) == {"steps", "seconds", "flops"}
    assert "not shown to differ" not in clear.note


def test_crossovers_across_budgets(tmp_path: Path) -> None:
    budgets = [json.dumps({"steps": n}) for n in (100, 400)]
    folder = drawn(
        tmp_path, {"soon": {"mean": 0.8, "sd": 1e-3}, "late": {"mean": 0.7, "sd": 1e-3}}, [], budgets=budgets
    )
    for row in folder.rows["trials"]:
        row["score"] += 0.2 * (row["method"] == "late" and "400" in row["budget"])
    found = crossovers(*read(folder)).iloc[0]
    assert (found["kind"], found["axis"], found["method"]) == ("across budgets", "steps", "late")
    assert found["shown"]
    assert found["x"] == pytest.approx(200.0, rel=0.05)
    assert found["low"] < 200 < found["high"]
    assert amount('{"epochs": 3, "min_steps": 200}') is None  # a floor makes it no amount
    assert amount("nonsense") is None


def test_fronts_name_who_beats_whom(tmp_path: Path) -> None:
    truth: dict[str, dict[str, Any]] = {
        "dear": {"mean": 0.9, "sd": 1e-3, "seconds": 30, "params": 9000},
        "cheap": {"mean": 0.8, "sd": 1e-3, "seconds": 10, "params": 90},
        "worse": {"mean": 0.7, "sd": 1e-3, "seconds": 20, "params": 900},
    }
    table, _, scored, samples = read(drawn(tmp_path, truth, []))
    found = {(row["cost"], row["method"]): row for row in fronts(table, scored, samples).to_dict("records")}
    assert [found["train_seconds", m]["on_front"] for m in truth] == [True, True, False]
    assert [found["train_seconds", m]["probability"] for m in truth] == [1.0, 1.0, 0.0]
    assert found["train_seconds", "worse"]["beaten_by"] == "cheap"
    assert found["several", "worse"]["label"] == "bytes stored per task, train time, peak memory"
    assert ("energy_joules", "dear") not in found
    assert found["train_seconds", "dear"]["n"] == 10


def test_equal_methods_are_on_the_front_about_half_of_the_time(tmp_path: Path) -> None:
    truth = {"dear": {"mean": 0.8, "sd": 0.02, "params": 9000}, "cheap": {"mean": 0.8, "sd": 0.02, "params": 90}}
    table, _, scored, samples = read(drawn(tmp_path, truth, [], seed=4))
    found = fronts(table, scored, samples)
    share = found[(found["cost"] == "trainable_params") & (found["method"] == "dear")]["probability"].iloc[0]
    assert 0.02 < share < 0.98


def test_one_seed_gives_fronts_without_probabilities(tmp_path: Path) -> None:
    truth = {"dear": {"mean": 0.9, "params": 9000}, "cheap": {"mean": 0.8, "params": 90}}
    table, _, scored, samples = read(drawn(tmp_path, truth, [], seeds=1))
    found = fronts(table, scored, samples)
    assert found["probability"].isna().all()
    assert set(found["why"]) == {"one seed in common: no probability"}
