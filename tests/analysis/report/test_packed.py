"""Rows of trials that shared their device: nothing timed, and every frame and figure of the report copes with them."""

import math
from pathlib import Path

import pandas as pd
import pytest

from finebench.analysis.load.cost_columns import MEASURED, occupied
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.charts import figures
from finebench.analysis.report.contents import Contents, analyse
from finebench.analysis.report.layout import tables
from finebench.analysis.scores.learning_curves import curves
from finebench.analysis.scores.scores import scores
from finebench.analysis.tables.formats import to_csv, to_latex, to_markdown
from finebench.analysis.uncertainty.expected_best import best_of
from finebench.analysis.uncertainty.tuning_cost import ledger
from tests.analysis.fixtures import Folder, draw, empty

UNTIMED = ("train_seconds", "eval_seconds", "startup_seconds", "peak_memory_bytes", "energy_joules")


def packed(path: Path, alone: int) -> Folder:
    """The drawn study, of whose seeds the first `alone` had their device to themselves; the others were packed."""
    folder = draw(path, seeds=4, tasks=("cola", "mrpc"))
    beside = set()
    for row in folder.rows["trials"]:
        if row["seed"] > alone:
            row.update({key: None for key in UNTIMED} | {"exclusive": False, "pack_size": 4, "device": "other"})
            beside.add(row["trial_id"])
    for row in folder.rows["evals"]:
        if row["trial_id"] in beside:
            row["train_seconds"] = None
    return folder


@pytest.fixture(scope="module")
def some(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return analyse(load_results(packed(tmp_path_factory.mktemp("some"), 2).write()), price_per_hour=2.0)


@pytest.fixture(scope="module")
def none(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    return analyse(load_results(packed(tmp_path_factory.mktemp("none"), 0).write()), price_per_hour=2.0)


def test_scores_use_every_run_and_costs_the_timed_ones(some: Contents) -> None:
    assert set(some.frames["scores"]["n"]) == {4}
    made = some.frames["efficiency"]
    assert set(made["device"]) == {"cpu"}
    whole = made[made["method"] == "steady"]
    assert set(whole["n"]) == {2 * 3}  # two seeds at three learning rates
    assert set(whole["shared"]) == {2 * 3}
    assert made["train_seconds"].notna().all()


def test_without_a_timed_run_no_cost_is_measured_and_the_rest_stands(none: Contents) -> None:
    made = none.frames["efficiency"]
    assert set(made["why"]) == {"no run had its device to itself"}
    assert made[list(MEASURED)].isna().all(axis=None)
    assert made["trainable_params"].notna().all()
    assert {"trainable_params", "delta_bytes"} <= set(none.frames["fronts"]["cost"])
    assert not {"train_seconds", "peak_memory_bytes", "energy_joules"} & set(none.frames["fronts"]["cost"])
    assert not {"train_seconds", "peak_memory_bytes", "energy_joules"} & set(none.frames["ratios"]["cost"])


def test_learning_curves_over_seconds_leave_untimed_runs_out(some: Contents, none: Contents) -> None:
    timed, untimed = some.frames["curves"], none.frames["curves"]
    assert (timed["n"].max(), untimed["n"].max()) == (4, 4)  # over steps they are all there
    assert timed["train_seconds"].tolist() == pytest.approx((0.05 * timed["step"]).tolist())
    assert untimed["train_seconds"].isna().all()
    assert "seconds" not in set(none.frames["crossovers"].get("axis", ()))
    names = {figure.name for figure in figures(none)}
    assert not [name for name in names if "seconds" in name]
    assert [name for name in names if name.startswith("learning-curve")]


@pytest.mark.parametrize("which", ["some", "none"])
def test_every_table_and_figure_is_made(which: str, request: pytest.FixtureRequest) -> None:
    contents: Contents = request.getfixturevalue(which)
    for table in tables(contents).values():
        for form in (to_csv, to_latex, to_markdown):
            text = form(table)
            assert "nan" not in text.lower().replace("finance", "").split()
    assert figures(contents)


def test_a_shared_run_s_own_seconds_enter_no_curve_and_no_search(tmp_path: Path) -> None:
    folder = empty(tmp_path, search={"optuna": {"sampler": "random", "trials": 1}})
    for seed, exclusive in ((1, True), (2, False)):
        trial = folder.add(seed=seed, stage="search", exclusive=exclusive, train_seconds=10.0 if exclusive else 99.0)
        folder.curve(trial, [(100, 0.7, 0.7), (200, 0.8, 0.8)])
        for row in folder.rows["evals"]:
            if row["trial_id"] == trial and not exclusive:
                row["train_seconds"] = 77.0
    frame = runs(results := load_results(folder.write()))
    made = curves(frame, results.evals, scores(frame, Expectation(None, frame)))
    assert made["train_seconds"].tolist() == pytest.approx([5.0, 10.0])
    assert made["n"].tolist() == [2, 2]
    (best,) = best_of(frame, results.study)["train_seconds"]
    assert best == 10.0


def spent(folder: Folder) -> pd.DataFrame:
    return occupied(runs(load_results(folder.write())))


def test_what_was_spent_on_shared_trials_is_what_trials_alone_take(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, steps=200, train_seconds=10.0, eval_seconds=2.0, startup_seconds=1.0)
    folder.add(seed=2, steps=200, train_seconds=20.0, eval_seconds=4.0, startup_seconds=1.0)
    folder.add(seed=3, steps=100, exclusive=False, **dict.fromkeys(UNTIMED))
    folder.add(seed=4, steps=200, exclusive=False, train_seconds=500.0)  # slowed by its neighbours
    made = spent(folder)
    assert made["train_seconds"].tolist() == pytest.approx([10.0, 20.0, 7.5, 15.0])
    assert made["eval_seconds"].tolist() == pytest.approx([2.0, 4.0, 3.0, 3.0])
    (row,) = ledger(runs(load_results(str(tmp_path))), price_per_hour=3600.0).to_dict("records")
    assert (row["train_seconds"], row["seconds"], row["cost"]) == pytest.approx((52.5, 68.5, 68.5))
    assert (row["shared"], row["untimed"]) == (2, 0)


def test_a_trial_on_several_ranks_occupies_a_machine_for_each(tmp_path: Path) -> None:
    """Also one beside which others ran; rows that are older than the column are of one."""
    folder = empty(tmp_path)
    folder.add(seed=1, ranks=2, steps=200, train_seconds=10.0, eval_seconds=2.0, startup_seconds=1.0)
    folder.add(seed=2, ranks=2, steps=100, exclusive=False, train_seconds=99.0, eval_seconds=9.0, startup_seconds=9.0)
    folder.add(seed=3, steps=200, train_seconds=30.0, eval_seconds=2.0, startup_seconds=1.0)
    made = spent(folder)
    assert made["train_seconds"].tolist() == pytest.approx([20.0, 12.5, 30.0])
    assert made["eval_seconds"].tolist() == pytest.approx([4.0, 3.0, 2.0])


def test_time_that_nothing_tells_is_counted_as_unknown(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, exclusive=False, **dict.fromkeys(UNTIMED))
    folder.add(seed=2, exclusive=False, train_seconds=30.0)
    made = spent(folder)
    assert math.isnan(made["train_seconds"].iloc[0])
    (row,) = ledger(runs(load_results(str(tmp_path)))).to_dict("records")
    assert (row["train_seconds"], row["untimed"]) == (30.0, 1)
