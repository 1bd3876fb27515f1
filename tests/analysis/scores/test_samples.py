"""Samples: what is read, what is paired, and what is refused; and the score's interval that comes of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.analysis.statistics.paired import paired_difference
from finebench.analysis.statistics.sample import pair
from tests.analysis.fixtures import BUDGET, Folder, empty

LABELS = np.arange(100) % 2
"""What `Folder.predict` writes as labels."""


def scored(folder: Folder, wrong: range, **given: Any) -> str:
    """A trial whose predictions miss the examples `wrong`, with the accuracy that they have."""
    trial = folder.add(score=1 - len(wrong) / 100, **given)
    predictions = LABELS.copy()
    predictions[list(wrong)] = 1 - predictions[list(wrong)]
    folder.predict(trial, [float(one) for one in predictions])
    return trial


def read(folder: Folder) -> tuple[pd.DataFrame, Expectation, Samples]:
    results = load_results(folder.write())
    table = runs(results)
    return table, Expectation(results.plan, table), Samples(results, table)


def key(method: str = "one") -> tuple[str, float, str, str]:
    return ("alpha", 1.0, BUDGET, method)


def test_a_sample_holds_the_reported_runs_in_the_order_of_their_seeds(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed in (3, 1, 2):
        scored(folder, range(10 * seed), seed=seed)
        scored(folder, range(50), seed=seed, lr=1e-4, select_score=0.1)
    _, _, samples = read(folder)
    sample = samples[key()]
    assert list(samples) == [key()]
    assert sample.seeds.tolist() == [1, 2, 3]
    assert sample.entered.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert (sample.lr, sample.stage, sample.why, sample.n_examples) == (1e-3, "grid", "", 100)
    assert sample.predictions is not None
    assert sample.predictions.dtype == np.float32
    assert ((sample.predictions != LABELS).sum(axis=1) == [10, 20, 30]).all()
    assert samples.rows(key())["seed"].tolist() == [1, 2, 3]


def test_collapsed_and_diverged_runs_keep_the_constants_score_in_every_resample(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    scored(folder, range(10), seed=1, majority_score=0.5)
    constant = folder.add(seed=2, score=0.5, majority_score=0.5)
    folder.predict(constant, [1.0] * 100)
    folder.add(seed=3, status="diverged", majority_score=0.5)
    sample = read(folder)[2][key()]
    assert sample.fixed.tolist() == [False, True, True]
    assert sample.replicates is not None
    assert (sample.replicates[:, 1:] == 0.5).all()
    assert sample.replicates[:, 0].std() == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize(
    ("case", "why"),
    [
        ("none", "no predictions"),
        ("some", "some runs have no predictions"),
        ("other", "runs were not scored on the same examples"),
        ("foreign", "predictions do not give the score that was stored"),
        ("constant", "every run collapsed or diverged"),
        ("metric", "bleu cannot be recomputed on resampled examples"),
    ],
)
def test_predictions_that_cannot_be_used_are_refused_with_the_reason(tmp_path: Path, case: str, why: str) -> None:
    folder = empty(tmp_path)
    given = {"status": "diverged"} if case == "constant" else {"metric": "bleu"} if case == "metric" else {}
    first, second = folder.add(seed=1, score=1.0, **given), folder.add(seed=2, score=1.0, **given)
    right = [float(one) for one in LABELS]
    if case in ("some", "other", "metric"):
        folder.predict(first, right)
    if case in ("other", "metric"):
        folder.predict(second, right[:50])
    if case == "foreign":
        folder.predict(first, right)
        folder.predict(second, right[::-1])
    sample = read(folder)[2][key()]
    assert sample.why == why
    assert sample.replicates is None


def test_pairs_are_by_common_seed_and_common_example(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed in (1, 2, 3):
        scored(folder, range(10 + seed), seed=seed, method="one")
    for seed in (2, 3, 4):
        scored(folder, range(20 + seed), seed=seed, method="two")
    samples = read(folder)[2]
    both = pair(samples[key("one")], samples[key("two")])
    assert both.seeds.tolist() == [2, 3]
    assert both.difference == pytest.approx([0.1, 0.1])
    assert both.replicates is not None
    # the errors are nested, so a resample moves both alike: ten examples make the difference
    assert both.replicates.std(axis=0) == pytest.approx(np.sqrt(0.1 * 0.9 / 100), rel=0.1)
    made = paired_difference(samples[key("one")], samples[key("two")])
    assert (made.value, made.n) == (pytest.approx(0.1), 2)
    assert "2 pairs × 100 examples" in made.method


def test_no_common_seed_is_no_difference(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    scored(folder, range(10), seed=1, method="one")
    scored(folder, range(10), seed=2, method="two")
    samples = read(folder)[2]
    made = paired_difference(samples[key("one")], samples[key("two")])
    assert (made.n, made.method) == (0, "no seed in common")


def test_the_scores_interval_holds_the_examples_noise(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed in (1, 2, 3):
        scored(folder, range(18 + seed), seed=seed)
    table, expected, samples = read(folder)
    (with_examples,) = scores(table, expected, samples).to_dict("records")
    (without,) = scores(table, expected).to_dict("records")
    assert with_examples["interval"].startswith("variance components")
    assert "3 seeds × 100 examples" in with_examples["interval"]
    assert with_examples["score"] == without["score"]
    assert with_examples["high"] - with_examples["low"] > 2 * 1.96 * np.sqrt(0.2 * 0.8 / 100) * 0.95
    assert without["high"] - without["low"] == pytest.approx(2 * 4.302653 * 0.01 / np.sqrt(3))
    again = scores(table, expected, samples)
    assert again[["low", "high"]].iloc[0].tolist() == [with_examples["low"], with_examples["high"]]  # no luck in it


def test_the_choice_is_repeated_where_the_same_seeds_made_it(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed, select in ((1, 0.9), (2, 0.7), (3, 0.83)):
        scored(folder, range(20 + seed), seed=seed, lr=1e-3, select_score=select)
        scored(folder, range(40 + seed), seed=seed, lr=1e-4, select_score=0.8)
    table, expected, samples = read(folder)
    (row,) = scores(table, expected, samples).to_dict("records")
    assert "choice repeated on resampled select scores" in row["interval"]
    assert row["high"] - row["low"] > 0.25
    for seed in (1001, 1002, 1003):
        scored(folder, range(20 + seed % 1000), seed=seed, lr=1e-3, stage="confirm")
    table, expected, samples = read(folder)
    (fresh,) = scores(table, expected, samples).to_dict("records")
    assert (fresh["source"], fresh["stage"]) == ("fresh seeds", "confirm")
    assert "choice" not in fresh["interval"]
