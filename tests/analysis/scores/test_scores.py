"""Scores per cell, variants, sensitivity and curves, by numbers computed by hand."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import budget_label, runs
from finebench.analysis.scores.learning_curves import curves
from finebench.analysis.scores.lr_sensitivity import sensitivity
from finebench.analysis.scores.provenance import origins
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.analysis.scores.variants import variants
from tests.analysis.fixtures import Folder, draw, empty


def read(folder: Folder) -> tuple[pd.DataFrame, Expectation, pd.DataFrame]:
    results = load_results(folder.write())
    table = runs(results)
    return table, Expectation(results.plan, table), results.evals


def only(folder: Folder) -> dict[str, Any]:
    (row,) = scored(folder)
    return row


def scored(folder: Folder) -> list[dict[str, Any]]:
    table, expected, _ = read(folder)
    return [{str(k): v for k, v in row.items()} for row in scores(table, expected).to_dict("records")]


def test_mean_interval_and_spread_by_hand(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed, score in ((1, 0.80), (2, 0.84), (3, 0.88)):
        folder.add(seed=seed, score=score)
        folder.add(lr=1e-4, seed=seed, score=0.99, select_score=0.1)
    row = only(folder)
    assert row["score"] == pytest.approx(0.84)
    assert row["sd"] == pytest.approx(0.04)
    half = 4.302653 * 0.04 / math.sqrt(3)
    assert (row["low"], row["high"]) == (pytest.approx(0.84 - half, rel=1e-6), pytest.approx(0.84 + half, rel=1e-6))
    assert (row["n"], row["median"], row["min"], row["max"]) == (3, 0.84, 0.80, 0.88)
    assert (row["lr"], row["setting"], row["source"], row["complete"]) == (1e-3, "lr 0.001", "same seeds", True)
    assert (row["configurations"], row["collapsed"], row["failed"], row["why"]) == (2, 0, 0, "")


def test_confirm_rows_of_the_chosen_configuration_are_reported(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for lr, select in ((1e-3, 0.9), (1e-4, 0.8)):
        for seed in (1, 2):
            folder.add(lr=lr, seed=seed, select_score=select, score=0.5 + lr)
    for seed, score in ((1001, 0.7), (1002, 0.8)):
        folder.add(stage="confirm", lr=1e-3, seed=seed, score=score, select_score=0.0)
        folder.add(stage="confirm", lr=1e-4, seed=seed, score=0.99, select_score=1.0)  # the default's
    row = only(folder)
    assert (row["score"], row["n"], row["lr"]) == (pytest.approx(0.75), 2, 1e-3)
    assert (row["source"], row["stage"]) == ("fresh seeds", "confirm")


def test_confirm_runs_that_are_due_are_said(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed in (1, 2):
        folder.add(seed=seed, score=0.8 + seed / 100)
    folder.plan("alpha", "one", 1.0, 2, 1)
    folder.plan("alpha", "one", 1.0, 4, 2, stage="confirm")
    row = only(folder)
    assert (row["source"], row["complete"]) == ("same seeds", True)
    assert row["why"] == "confirm runs not there yet"


def test_a_diverged_run_enters_with_the_constant_predictors_score(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, score=0.9, majority_score=0.6)
    folder.add(seed=2, status="diverged", majority_score=0.6, reason="loss is nan")
    row = only(folder)
    assert row["score"] == pytest.approx(0.75)
    assert (row["n"], row["collapsed"], row["diverged"], row["failed"], row["complete"]) == (2, 1, 1, 0, True)


def test_an_undefined_correlation_counts_as_zero(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, metric="pearson", score=0.8, majority_score=None)
    folder.add(seed=2, metric="pearson", score=math.nan, majority_score=math.nan)
    row = only(folder)
    assert row["score"] == pytest.approx(0.4)
    assert (row["collapsed"], row["constant_output"]) == (1, 1)


def test_a_run_that_predicts_one_class_enters_with_the_constants_score_or_its_own_lower_one(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    wrong = folder.add(seed=1, score=0.0, metric="f1", majority_score=0.8)
    weak = folder.add(seed=2, score=0.7, metric="f1", majority_score=0.8)
    good = folder.add(seed=3, score=0.9, metric="f1", majority_score=0.8)
    for trial_id, predictions in ((wrong, [0, 0, 0, 0]), (weak, [1, 1, 0, 1]), (good, [1, 1, 1, 1])):
        folder.predict(trial_id, predictions)
    table, _, _ = read(folder)
    entered = table.set_index("seed")[["entered", "constant_output", "collapsed"]]
    assert entered.loc[1].tolist() == [0.0, True, True]  # of the wrong class: never more than its own score
    assert entered.loc[2].tolist() == [0.7, False, True]  # below the constant, but it did predict: its own score
    assert entered.loc[3].tolist() == [0.9, False, False]


def test_failures_are_counted_and_never_averaged(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, score=0.8)
    for seed, status in ((2, "oom"), (3, "timeout"), (4, "error")):
        folder.add(seed=seed, status=status, reason="r", score=0.0)
    row = only(folder)
    assert (row["score"], row["n"], row["failed"]) == (0.8, 1, 3)
    assert (row["complete"], row["planned_seeds"], row["missing"]) == (False, 4, "2, 3, 4")


def test_a_missing_seed_is_named_where_other_cells_show_it(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed in (1, 2, 3):
        folder.add(seed=seed, method="one", score=0.8 + seed / 100)
    folder.add(seed=1, method="two", score=0.9)
    one, two = scored(folder)
    assert (one["complete"], one["missing"]) == (True, "")
    assert (two["complete"], two["missing"], two["planned_seeds"]) == (False, "2, 3", 3)
    assert two["why"] == "incomplete: 1 of 3 seeds, missing 2, 3; one seed: no interval"


def test_a_plan_tells_of_seeds_that_nothing_has_run_yet(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, score=0.8)
    folder.plan("alpha", "one", 1.0, 6, 2)
    folder.plan("alpha", "two", 1.0, 6, 2)
    one, two = scored(folder)
    assert (one["missing"], one["planned_seeds"]) == ("2 not yet run", 3)
    assert "chosen from 1 of 2 configurations" in one["why"]
    assert (two["n"], two["why"], two["complete"]) == (0, "not run yet", False)
    assert math.isnan(two["score"])


def test_pruned_rows_never_stand_in(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1, stage="search", score=0.8, lr=1e-3)
    folder.add(seed=2, stage="search", score=0.9, lr=1e-3, status="pruned", select_score=0.9)
    row = only(folder)
    assert (row["score"], row["n"], row["missing"]) == (0.8, 1, "2")


def test_a_cell_in_which_all_failed_has_no_score(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(status="oom", reason="too big")
    row = only(folder)
    assert (row["n"], row["why"], row["failed"]) == (0, "every run failed (1)", 1)


def test_variants_stand_at_their_own_best_learning_rate(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    table = {
        ("narrow", 1e-4): (0.6, 0.61),
        ("narrow", 1e-3): (0.7, 0.71),
        ("wide", 1e-4): (0.8, 0.75),
        ("wide", 1e-3): (0.5, 0.9),
    }
    for (shape, lr), (select, score) in table.items():
        for seed in (1, 2):
            folder.add(hp={"shape": shape, "fixed": 4}, lr=lr, seed=seed, select_score=select, score=score + seed / 100)
    # a confirm run of one variant must not mix into a comparison on common seeds
    folder.add(hp={"shape": "wide", "fixed": 4}, lr=1e-4, seed=1001, stage="confirm", score=0.1)
    frame, expected, _ = read(folder)
    made = variants(frame, expected)
    assert made["variant"].tolist() == ["shape narrow", "shape wide"]
    assert made["lr"].tolist() == [1e-3, 1e-4]
    assert made["score"].tolist() == pytest.approx([0.725, 0.765])


def test_sensitivity_shows_each_learning_rate_and_the_chosen_one(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for lr, select in ((1e-4, 0.7), (1e-3, 0.9), (1e-2, 0.5)):
        for seed in (1, 2):
            folder.add(lr=lr, seed=seed, select_score=select, score=select - 0.1)
    frame, expected, _ = read(folder)
    made = sensitivity(frame, expected)
    assert made["lr"].tolist() == [1e-4, 1e-3, 1e-2]
    assert made["score"].tolist() == pytest.approx([0.6, 0.8, 0.4])
    assert made["chosen"].tolist() == [False, True, False]


def test_a_learning_curve_holds_the_last_improvement(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    first, second = folder.add(seed=1, score=0.8), folder.add(seed=2, score=0.7)
    folder.curve(first, [(10, 0.5, 0.6), (20, 0.7, 0.8), (30, 0.6, None)])
    folder.curve(second, [(10, 0.5, 0.5), (20, 0.4, None), (30, 0.8, 0.7)])
    frame, expected, evals = read(folder)
    made = curves(frame, evals, scores(frame, expected))
    assert made["step"].tolist() == [10, 20, 30]
    assert made["score"].tolist() == pytest.approx([0.55, 0.65, 0.75])
    assert made["train_seconds"].tolist() == pytest.approx([0.5, 1.0, 1.5])
    assert made["score"].iloc[-1] == pytest.approx(scores(frame, expected)["score"].iloc[0])


def test_a_last_step_that_select_would_not_have_chosen_does_not_end_the_curve(tmp_path: Path) -> None:
    """`score` is evaluated there for score_last; had training stopped, the checkpoint before it would have scored."""
    folder = empty(tmp_path)
    folder.curve(folder.add(seed=1, score=0.8, score_last=0.9), [(10, 0.7, 0.8), (20, 0.7, 0.9)])
    frame, expected, evals = read(folder)
    scored = scores(frame, expected)
    made = curves(frame, evals, scored)
    assert made["score"].tolist() == pytest.approx([0.8, 0.8])
    assert made["score"].iloc[-1] == pytest.approx(scored["score"].iloc[0])


def test_a_diverged_run_falls_to_the_constant_in_the_curve(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    good, bad = folder.add(seed=1, score=0.8), folder.add(seed=2, status="diverged")
    folder.curve(good, [(10, 0.6, 0.6), (20, 0.8, 0.8)])
    folder.curve(bad, [(10, 0.6, 0.6)])
    frame, expected, evals = read(folder)
    assert curves(frame, evals, scores(frame, expected))["score"].tolist() == pytest.approx([0.6, 0.65])


def test_no_curve_over_a_hole(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.curve(folder.add(seed=1), [(10, 0.6, 0.6)])
    folder.add(seed=2)
    frame, expected, evals = read(folder)
    assert curves(frame, evals, scores(frame, expected)).empty


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ('{"epochs": 3.0, "min_steps": 200}', "3 epochs, at least 200 steps"),
        ('{"steps": 1}', "1 step"),
        ('{"flops": 1e15}', "1e+15 FLOPs"),
        ('{"seconds": 90.0}', "90 seconds"),
        ("free text", "free text"),
        ('{"epochs": "x"}', 'epochs "x"'),
    ],
)
def test_budgets_in_words(budget: str, words: str) -> None:
    assert budget_label(budget) == words


def test_every_score_is_the_mean_of_the_trials_that_it_names(tmp_path: Path) -> None:
    results = load_results(draw(tmp_path, seeds=3, tasks=("cola",)).write())
    frame = runs(results)
    samples = Samples(results, frame)
    scored = scores(frame, Expectation(results.plan, frame), samples)
    made = origins(frame, scored, samples)
    assert len(made) == len(scored)
    by_id = frame.set_index("trial_id")
    for row in made.to_dict("records"):
        named = by_id.loc[row["trials"].split()]
        assert named["entered"].mean() == pytest.approx(row["score"])
        assert (len(named), named["seed"].is_monotonic_increasing) == (row["n"], True)
        costly = by_id.loc[row["cost_trials"].split()]
        assert costly["exclusive"].all()
        assert set(costly["method"]) == {row["method"]}
