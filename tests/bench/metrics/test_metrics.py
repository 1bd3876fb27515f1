"""Metrics equal scikit-learn and SciPy called directly, and are 0 where a constant predictor leaves them undefined."""

import subprocess
import sys
import time
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from finebench.bench.metrics import (
    METRICS,
    Metric,
    code,
    compute,
    evaluate_module,
    find,
    majority_score,
    metric,
    scored,
)
from finebench.bench.util.errors import StudyError

DIRECT = {
    "mcc": sk.matthews_corrcoef,
    "f1": sk.f1_score,
    "macro_f1": lambda y, p: sk.f1_score(y, p, average="macro"),
    "kappa": sk.cohen_kappa_score,
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "pearson": lambda y, p: stats.pearsonr(y, p).statistic,
    "spearman": lambda y, p: stats.spearmanr(y, p).statistic,
    "mse": sk.mean_squared_error,
    "rmse": sk.root_mean_squared_error,
    "log_loss": sk.log_loss,
    "auroc": lambda y, p: sk.roc_auc_score(y, p[:, 1]),
    "ece": lambda y, p: calibration_error(y, p),
}
OF_KIND = {k: tuple(m.name for m in METRICS.values() if m.kind == k) for k in ("classification", "regression")}
OF_NEEDS = {k: tuple(m.name for m in METRICS.values() if m.needs == k) for k in ("classes", "probabilities", "values")}


def calibration_error(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Guo et al. (2017), equation 3, bin by bin as it is written."""
    confidence, total = probabilities.astype(float).max(axis=1), 0.0
    for m in range(1, 16):
        inside = ((m - 1) / 15 < confidence) & (confidence <= m / 15)
        if inside.any():
            right = (probabilities.argmax(axis=1) == labels)[inside].mean()
            total += inside.mean() * abs(right - confidence[inside].mean())
    return total


def probable(rng: np.random.Generator, n: int, classes: int, digits: int = 8) -> np.ndarray:
    """Probabilities [n, classes]; of few digits, so that some are equal."""
    logits = 2 * rng.normal(size=(n, classes)).round(digits)
    made: np.ndarray = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return made


def certain(predictions: np.ndarray) -> np.ndarray:
    """Probability 1 [n, 2] for each predicted class."""
    second = predictions > 0.5
    return np.stack([~second, second], axis=1).astype(np.float32)


def test_every_metric_has_an_oracle() -> None:
    assert set(METRICS) == set(DIRECT)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 300))
def test_equal_to_the_libraries_called_directly(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    two = np.concatenate([[0, 1], rng.integers(0, 2, n)]), np.concatenate([[1, 0], rng.integers(0, 2, n)])
    scores = rng.random(n), rng.random(n).round(1)
    for needs, (labels, predictions) in (("classes", two), ("probabilities", two), ("values", scores)):
        said = probable(rng, len(labels), 2, 1) if needs == "probabilities" else predictions
        found = compute(OF_NEEDS[needs], labels, predictions, said)
        assert list(found) == list(OF_NEEDS[needs])
        for name, value in found.items():
            assert value == pytest.approx(DIRECT[name](labels, said), rel=1e-12, abs=1e-12)


def test_three_classes() -> None:
    labels, predictions = np.array([0, 1, 2, 2]), np.array([0, 2, 2, 1])
    found = compute(("macro_f1", "balanced_accuracy", "accuracy"), labels, predictions)
    assert found == pytest.approx({"macro_f1": (1 + 0 + 0.5) / 3, "balanced_accuracy": 0.5, "accuracy": 0.5})


@pytest.mark.parametrize("classes", [3, 7])
@pytest.mark.parametrize("digits", [0, 8])
def test_probabilities_of_more_classes(classes: int, digits: int) -> None:
    rng = np.random.default_rng(classes)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 200)])
    said = probable(rng, len(labels), classes, digits)
    found = compute(OF_NEEDS["probabilities"], labels, said.argmax(axis=1), said)
    assert found["log_loss"] == pytest.approx(sk.log_loss(labels, said), abs=1e-12)
    assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, said, multi_class="ovr"), abs=1e-12)
    assert found["ece"] == pytest.approx(calibration_error(labels, said), abs=1e-12)


def test_by_hand() -> None:
    labels, said = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    found = compute(("log_loss", "auroc", "ece"), labels, said.argmax(axis=1), said)
    # bins: 0.9 (0.867 to 0.933) and 0.8 (to 0.8) are right, 0.6 (to 0.6) is wrong
    wanted = {"log_loss": -np.log([0.9, 0.8, 0.4]).mean(), "auroc": 1.0, "ece": (0.1 + 0.2 + 0.6) / 3}
    assert found == pytest.approx(wanted)


def test_a_certain_error_is_a_large_loss_and_not_an_infinite_one() -> None:
    assert compute(("log_loss",), np.array([0, 1]), np.array([0, 0]), certain(np.array([0, 0])))["log_loss"] == (
        pytest.approx(METRICS["log_loss"].range[1] / 2)
    )


def test_undefined_of_probabilities() -> None:
    labels, said = np.array([0, 1, 1]), certain(np.array([0, 1, 0]))
    assert compute(("auroc",), np.ones(3, int), np.ones(3, int), said)["auroc"] == 0.5
    said[1, 0] = np.nan
    found = compute(("log_loss", "auroc", "ece"), labels, np.zeros(3, int), said)
    assert found == pytest.approx({"log_loss": np.nan, "auroc": 0.5, "ece": np.nan}, nan_ok=True)


def test_probabilities_are_asked_for() -> None:
    with pytest.raises(ValueError, match=r"log_loss needs probabilities \[2, classes\], not None"):
        compute(("accuracy", "log_loss"), np.array([0, 1]), np.array([0, 1]))


def test_a_main_metric_that_falls_is_scored_by_its_negative() -> None:
    assert scored(("log_loss", "rmse")) == scored(("neg_log_loss", "rmse")) == ("neg_log_loss", "rmse")
    assert scored(("mcc", "log_loss")) == ("mcc", "log_loss")
    assert scored(("another version's",)) == ("another version's",)
    labels, said = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
    found = compute(("neg_log_loss", "log_loss"), labels, said.argmax(axis=1), said)
    assert found["neg_log_loss"] == -found["log_loss"] < 0
    one = metric("neg_rmse")
    assert (one.name, one.higher_is_better, one.range, one.kind) == ("neg_rmse", True, (-np.inf, 0.0), "regression")
    assert one.weighted is not None
    assert one.weighted(np.zeros(2), np.full((1, 2), 3.0), np.ones((1, 2))) == -3.0
    assert code("neg_rmse") is None


def test_there_is_no_negative_of_what_rises() -> None:
    assert find("neg_accuracy") is None
    with pytest.raises(StudyError, match="unknown metric 'neg_accuracy'"):
        metric("neg_accuracy")


def test_a_metric_says_what_it_needs() -> None:
    with pytest.raises(StudyError, match="metric 'm': unknown needs 'classification'; choices: classes, prob"):
        Metric("m", "classification", "", "", lambda labels, predictions: 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("constant", [0, 1])
def test_a_constant_classifier(constant: int) -> None:
    labels = np.array([1, 1, 1, 0])
    found = compute(("mcc", "balanced_accuracy", "f1"), labels, np.full(4, constant))
    assert found == pytest.approx({"mcc": 0, "balanced_accuracy": 0.5, "f1": 6 / 7 if constant else 0})


@pytest.mark.parametrize(
    "predictions",
    [np.full(5, 2.5), np.full(5, np.nan), 1e9 + 1e-7 * np.arange(5), np.array([1, 2, np.inf, 3, 4])],
    ids=["constant", "nan", "constant-but-for-rounding", "infinite"],
)
def test_an_undefined_pearson_is_zero_without_a_warning(predictions: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compute(("pearson",), np.arange(5.0), predictions)["pearson"] == 0


def test_an_undefined_error_is_nan() -> None:
    found = compute(("mse", "rmse"), np.arange(3.0), np.array([1, np.nan, 2]))
    assert all(np.isnan(value) for value in found.values())


def test_constant_spearman_and_constant_labels_are_zero() -> None:
    assert compute(("spearman",), np.arange(5.0), np.ones(5)) == {"spearman": 0}
    assert compute(("pearson", "spearman"), np.ones(5), np.arange(5.0)) == {"pearson": 0, "spearman": 0}
    assert compute(("pearson", "spearman"), np.ones(1), np.ones(1)) == {"pearson": 0, "spearman": 0}


def test_majority_score_follows_train_not_the_scored_labels() -> None:
    train, score = np.array([0, 1, 1]), np.array([0, 0, 0, 1])
    assert majority_score(("accuracy",), train, score) == 0.25
    assert majority_score(("f1", "accuracy"), train, score) == pytest.approx(2 * 0.25 / 1.25)
    assert majority_score(("f1",), 1 - train, score) == 0
    assert majority_score(("mcc",), train, score) == 0
    assert majority_score(("accuracy",), np.array([1, 0]), score) == 0.75  # a tie goes to the lower class


def test_majority_score_of_regression_predicts_the_mean_of_train() -> None:
    train, score = np.array([0.0, 4.0]), np.array([1.0, 3.0])
    assert majority_score(("pearson",), train, score) == 0
    assert majority_score(("rmse",), train, score) == 1
    assert majority_score(("neg_rmse",), train, score) == -1


def test_majority_score_of_probabilities_predicts_the_shares_in_train() -> None:
    train, score = np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])
    assert majority_score(("neg_log_loss",), train, score) == pytest.approx(np.log([0.25, 0.75]).mean())
    assert majority_score(("auroc",), train, score) == 0.5


def test_an_unknown_metric_is_refused_with_a_guess() -> None:
    with pytest.raises(StudyError, match="unknown metric 'acuracy'; did you mean 'accuracy'"):
        metric("acuracy")


@pytest.mark.parametrize(("n", "m"), [(3, 4), (0, 0)])
def test_shapes_that_do_not_match_are_refused(n: int, m: int) -> None:
    with pytest.raises(ValueError, match="equally long"):
        compute(("mcc",), np.zeros(n, dtype=int), np.zeros(m, dtype=int))


@pytest.mark.parametrize("name", METRICS)
def test_no_score_is_outside_the_range(name: str) -> None:
    least, most = METRICS[name].range
    rng = np.random.default_rng(5)
    whole = METRICS[name].kind == "classification"
    low_is_best = {True: (least, most), False: (most if np.isfinite(most) else 1, least)}
    for _ in range(20):
        labels, predictions = rng.integers(0, 2, (2, 6)) if whole else rng.normal(0, 10, (2, 6))
        labels[:2] = 0, 1  # one class alone is no task
        for said in (predictions, labels, 1 - labels):
            assert least - 1e-12 <= compute((name,), labels, said, certain(said))[name] <= most + 1e-12
    ends = np.array([0, 1, 0, 1]), np.array([1, 0, 1, 0])
    worst = compute((name,), *ends, certain(ends[1]))[name]
    best = compute((name,), ends[0], ends[0], certain(ends[0]))[name]
    assert (worst, best) == pytest.approx(low_is_best[METRICS[name].higher_is_better])


@pytest.mark.parametrize("name", METRICS)
def test_each_is_an_evaluate_module_that_writes_nothing(name: str, tmp_path, monkeypatch) -> None:
    one = evaluate_module(name)
    monkeypatch.setattr(one, "_data_dir_root", str(tmp_path / "none"))
    values = [0, 1, 1, 0] if METRICS[name].kind == "classification" else [0.0, 1.0, 2.0, 4.0]
    said = certain(np.array(values)).tolist() if METRICS[name].needs == "probabilities" else values
    found = one.compute(predictions=said, references=values)
    assert found == {name: pytest.approx(1.0 if METRICS[name].higher_is_better else 0.0)}
    assert not (tmp_path / "none").exists()


def test_importing_the_registry_is_cheap() -> None:
    heavy = "{'evaluate', 'sklearn', 'scipy', 'datasets', 'torch', 'pyarrow', 'pandas'}"
    code = "import sys, finebench.bench.metrics, finebench.bench.data.task_data, finebench.bench.data.splits\n"
    code += f"assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", OF_KIND)
def test_a_thousand_rows_are_scored_in_milliseconds(kind: str) -> None:
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(0, 2, (2, 1000)) if kind == "classification" else rng.random((2, 1000))
    said = certain(labels)
    compute(OF_KIND[kind], labels, predictions, said)
    begin = time.process_time()
    for _ in range(10):
        compute(OF_KIND[kind], labels, predictions, said)
    per_metric = (time.process_time() - begin) / 10 / len(OF_KIND[kind])
    assert per_metric < 0.02, f"{per_metric * 1e3:.1f} ms per metric"  # measured 0.5-2.5 ms; the bound has room


def test_scoring_does_not_import_evaluate() -> None:
    code = (
        "import sys, numpy as np, finebench.bench.metrics as m\n"
        "values = {'classification': np.array([0, 1, 1]), 'regression': np.array([0.0, 1.0, 3.0])}\n"
        "both = np.full((3, 2), 0.5)\n"
        "[m.compute((one.name,), values[one.kind], values[one.kind], both) for one in m.METRICS.values()]\n"
        "assert 'evaluate' not in sys.modules and 'sklearn' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_value_outside_of_the_range_is_refused_for_intervals_are_cut_to_it() -> None:
    five = Metric("five", "classes", "five", "5", lambda labels, predictions: 5.0)
    with pytest.raises(StudyError, match=r"'five' gave 5, which is outside of its range, 0 to 1; say range="):
        five.checked(5.0)
    assert five.checked(1.0 + 1e-8) == pytest.approx(1.0)
    assert np.isnan(five.checked(float("nan")))
    assert replace(five, range=(0.0, float("inf"))).negative.checked(-5.0) == -5.0
