"""Every metric from counts, against the harness's own metric on the examples actually drawn."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sk

from finebench.analysis.statistics.resample import REPLICATES, counts, measured, resampled
from finebench.bench.metrics import METRICS as OURS
from finebench.bench.metrics import compute, find


def weighted(name: str) -> Any:
    """The metric from counts."""
    return find(name).weighted  # type: ignore[union-attr]


def drawn(needs: str, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels [60] and predictions [3, 60], or probabilities [3, 60, classes]; rounded, so that there are ties."""
    rng = np.random.default_rng(seed)
    if needs == "probabilities":
        labels = rng.integers(0, classes, 60).astype(float)
        parts = np.exp(rng.normal(size=(3, 60, classes)).round(1) + 0.7 * (labels[:, None] == np.arange(classes)))
        return labels, (parts / parts.sum(axis=2, keepdims=True)).astype(np.float32)
    if needs == "values":
        labels = rng.normal(3, 1, 60).round(1)
        return labels, (labels + rng.normal(size=(3, 60))).round(1)
    labels = rng.integers(0, classes, 60).astype(float)
    return labels, np.where(rng.random((3, 60)) < 0.6, labels, rng.integers(0, classes, (3, 60)))


def test_every_metric_of_ours_can_be_resampled() -> None:
    assert [one.name for one in OURS.values() if one.weighted is None] == []


@pytest.mark.parametrize("name", sorted(OURS))
@pytest.mark.parametrize("classes", [2, 4])
def test_counts_give_what_copies_give(name: str, classes: int) -> None:
    metric = OURS[name]
    labels, predictions = drawn(metric.needs, 2 if metric.binary else classes, classes)
    chosen = np.random.default_rng(1).integers(0, 60, (20, 60))
    weights = np.array([np.bincount(row, minlength=60) for row in chosen], dtype=float)
    made = weighted(name)(labels, predictions, weights)
    kind = int if metric.kind == "classification" else float
    wanted = [[compute([name], labels[i].astype(kind), *both(p[i], kind))[name] for p in predictions] for i in chosen]
    assert made == pytest.approx(np.array(wanted), abs=1e-12)
    if not metric.higher_is_better:
        assert (weighted(f"neg_{name}")(labels, predictions, weights) == -made).all()


def both(said: np.ndarray, kind: type) -> tuple[np.ndarray, np.ndarray | None]:
    """What `compute` takes: predictions, and probabilities where it is those that were said."""
    return (said.argmax(axis=1), said) if said.ndim == 2 else (said.astype(kind), None)


@pytest.mark.parametrize("classes", [2, 4])
def test_probabilities_from_counts_are_the_library_s_weighted_scores(classes: int) -> None:
    labels, said = drawn("probabilities", classes, 5)
    exact = said / said.sum(axis=2, keepdims=True, dtype=float)
    weights = np.random.default_rng(2).integers(1, 4, (6, 60)).astype(float)  # no class is left out
    for name, function in (("log_loss", sk.log_loss), ("auroc", ranked)):
        wanted = [[function(labels, one, sample_weight=w) for one in exact] for w in weights]
        assert weighted(name)(labels, exact, weights) == pytest.approx(np.array(wanted), abs=1e-12)


def ranked(labels: np.ndarray, said: np.ndarray, sample_weight: np.ndarray) -> float:
    """scikit-learn's, each class against the rest."""
    if said.shape[1] == 2:
        return float(sk.roc_auc_score(labels, said[:, 1], sample_weight=sample_weight))
    made = [sk.roc_auc_score(labels == c, said[:, c], sample_weight=sample_weight) for c in range(said.shape[1])]
    assert sk.roc_auc_score(labels, said, multi_class="ovr", sample_weight=sample_weight) == pytest.approx(
        np.mean(made)
    )
    return float(np.mean(made))


def test_a_class_that_is_not_drawn_is_left_out_of_the_mean() -> None:
    labels, said = drawn("probabilities", 4, 5)
    weights = (labels != 3).astype(float)[None]
    left = labels != 3
    wanted = [np.mean([sk.roc_auc_score(labels[left] == c, one[left, c]) for c in range(3)]) for one in said]
    assert weighted("auroc")(labels, said, weights)[0] == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("name", sorted(OURS))
def test_undefined_is_what_the_harness_says(name: str) -> None:
    labels = np.array([0.0, 1.0, 1.0, 0.0, 1.0])
    kind = int if OURS[name].kind == "classification" else float
    given = [np.zeros(5), np.ones(5), np.full(5, 1 / 3) if kind is float else np.zeros(5)]
    if OURS[name].needs == "probabilities":
        given = [np.tile(one, (5, 1)) for one in ([0.4, 0.6], [0.0, 1.0], [np.nan, 1.0])]
    for predictions in given:
        wanted = compute([name], labels.astype(kind), *both(predictions, kind))[name]
        assert measured(weighted(name), labels, predictions[None])[0] == pytest.approx(wanted, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize(("name", "value"), [("pearson", 0.0), ("spearman", 0.0), ("mse", np.nan), ("rmse", np.nan)])
def test_a_prediction_that_is_not_finite_makes_the_run_undefined(name: str, value: float) -> None:
    labels, predictions = np.arange(4.0), np.array([[0, 1, 2, 3.5], [0, np.nan, 2, 3]])
    made = measured(weighted(name), labels, predictions)
    assert made[1] == pytest.approx(value, nan_ok=True)
    assert np.isfinite(made[0])


def test_numbers_far_from_zero_lose_no_digits() -> None:
    labels, predictions = drawn("values", 0, 3)
    far = measured(weighted("pearson"), labels + 1e6, predictions + 1e6)
    assert far == pytest.approx(measured(weighted("pearson"), labels, predictions), rel=1e-9)


def test_draws_depend_on_the_number_of_examples_alone() -> None:
    first, again = np.concatenate(list(counts(50))), np.concatenate(list(counts(50)))
    assert first.shape == (REPLICATES, 50)
    assert (first == again).all()
    assert (first.sum(axis=1) == 50).all()
    assert first.var(axis=0).mean() == pytest.approx(1 - 1 / 50, rel=0.05)  # multinomial


def test_large_sets_are_drawn_in_blocks() -> None:
    blocks = list(counts(9001))
    assert len(blocks) > 1
    assert sum(map(len, blocks)) == REPLICATES
    assert all((block.sum(axis=1) == 9001).all() for block in blocks)


def test_the_bootstrap_finds_the_standard_error_of_accuracy() -> None:
    labels = np.zeros(400)
    predictions = (np.arange(400) % 5 == 0).astype(float)[None]  # accuracy 0.8
    made = resampled(weighted("accuracy"), labels, predictions)
    assert made.std() == pytest.approx(np.sqrt(0.8 * 0.2 / 400), rel=0.08)
