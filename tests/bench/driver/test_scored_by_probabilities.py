"""Studies whose main metric is made of probabilities, and falls as predictions improve: chosen, stored and reported by
its negative, from inside and from a plugin."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as sk

from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.selected_configuration import choose
from finebench.analysis.statistics.sample import pair
from finebench.bench.data.embedded import load_split
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.load import load_study
from finebench.bench.util import doors
from finebench.bench.util.errors import StudyError

HERE = Path(__file__).parent
METHODS: dict[str, Any] = {"bitfit": {"lr": [5e-4, 5e-2]}, "head": {"lr": [1e-2]}}
CLAIM = {"id": "c", "says": "better", "a": "bitfit", "b": "head"}


pytestmark = pytest.mark.usefixtures("plugins_go")


def written(folder: Path, metric: list[str], **changes: Any) -> Path:
    """A study of a task of one's own, in files."""
    folder.mkdir(parents=True, exist_ok=True)
    for split, rows in (("train", 600), ("validation", 200)):
        found = load_split("mini-cola", split)
        with (folder / f"{split}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows(list(zip(found["sentence"], found["label"], strict=True))[:rows])
    files = {split: str(folder / f"{split}.csv") for split in ("train", "validation")}
    task = {"name": "mine", "data": files, "text": "text", "label": "label", "metric": metric}
    raw = {
        "name": "probable", "tasks": [task], "methods": METHODS, "fractions": [0.5], "seeds": 2, "claims": [CLAIM],
        "budget": {"steps": 12}, "training": {"evals": 3, "batch_size": 8},
    } | changes  # fmt: skip
    path = folder / "probable.yaml"
    path.write_text(json.dumps(raw))
    return path


def run(study: Path, results: Path, debug: bool = True) -> list[dict[str, Any]]:
    """The rows of `trials`, by id."""
    run_study(
        load_study(str(study)),
        RunOptions(str(results), debug=debug),
        lambda scheduler: Observer(),
        lambda trial, reason, runs: None,
    )
    rows = pq.read_table(results / "trials").to_pylist()
    assert {row["status"] for row in rows} <= {"ok", "pruned"}
    return sorted(rows, key=lambda row: str(row["trial_id"]))


def said(results: Path, trial: str) -> tuple[np.ndarray, np.ndarray]:
    """A trial's labels and probabilities, as stored."""
    table = pq.read_table(results / "predictions", filters=[("trial_id", "=", trial)]).sort_by("example")
    return table["label"].to_numpy(), np.array(table["probability"].to_pylist())


def loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """scikit-learn's, which asks for sums of 1 in float64."""
    return float(sk.log_loss(labels, probabilities / probabilities.sum(axis=1, keepdims=True)))


def test_log_loss_chooses_and_scores(tmp_path: Path) -> None:
    rows = run(written(tmp_path / "s", ["log_loss", "auroc", "ece", "accuracy"]), tmp_path / "r")
    assert len(rows) == 6
    for row in rows:
        labels, probabilities = said(tmp_path / "r", row["trial_id"])
        found = json.loads(row["metrics"])
        assert (row["metric"], row["score"]) == ("neg_log_loss", found["neg_log_loss"])
        assert row["score"] == pytest.approx(-loss(labels, probabilities), abs=1e-6)
        assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, probabilities[:, 1]), abs=1e-12)
        shares = np.array([0.5, 0.5])
        assert row["majority_score"] == pytest.approx(np.log(shares).mean(), abs=0.01)
        evals = pq.read_table(tmp_path / "r/evals", filters=[("trial_id", "=", row["trial_id"])]).to_pylist()
        assert row["select_score"] == max(one["value"] for one in evals if one["split"] == "select") < 0
    bitfit = [row for row in rows if row["method"] == "bitfit"]
    losses = {lr: -np.mean([row["select_score"] for row in bitfit if row["lr"] == lr]) for lr in (5e-4, 5e-2)}
    results = load_results(str(tmp_path / "r"))
    table = runs(results)
    chosen = choose(table).set_index("method").loc["bitfit"]
    assert json.loads(chosen["configuration"])["lr"] == min(losses, key=lambda lr: losses[lr])
    samples = {key[3]: one for key, one in Samples(results, table).items()}
    assert samples["bitfit"].n_examples == 200
    assert samples["bitfit"].why == ""
    assert samples["bitfit"].replicates is not None
    assert samples["bitfit"].replicates.std() > 0.001
    paired = pair(samples["bitfit"], samples["head"])
    assert paired.n_examples == 200
    better = [row for row in rows if row["method"] == "head" and row["seed"] == 1]
    mine = next(row for row in bitfit if row["lr"] == json.loads(chosen["configuration"])["lr"] and row["seed"] == 1)
    losses_of = [loss(*said(tmp_path / "r", row["trial_id"])) for row in (better[0], mine)]
    assert paired.difference[0] == pytest.approx(losses_of[0] - losses_of[1], abs=1e-6)  # a loss less is a gain


@pytest.mark.slow
def test_ray_and_in_process_store_the_same(tmp_path: Path) -> None:
    study = written(tmp_path / "s", ["log_loss", "ece"])
    here, there = (run(study, tmp_path / name, name == "here") for name in ("here", "there"))
    for one, other in zip(here, there, strict=True):
        for column in ("trial_id", "metric", "score", "score_last", "select_score", "majority_score", "metrics"):
            assert one[column] == other[column]
        assert all(
            map(np.array_equal, said(tmp_path / "here", one["trial_id"]), said(tmp_path / "there", one["trial_id"]))
        )


def test_a_search_keeps_the_least_loss(tmp_path: Path) -> None:
    search = {"optuna": {"trials": 4, "seeds": 1, "confirm_seeds": 1, "scheduler": "asha"}}
    methods = {"bitfit": {"lr": {"loguniform": [1e-5, 1e-1]}}}
    study = written(tmp_path / "s", ["log_loss"], search=search, methods=methods, claims=[], seeds=1)
    rows = run(study, tmp_path / "r")
    tried = [row for row in rows if row["stage"] == "search" and row["status"] == "ok"]
    confirmed = {row["hyperparameters"] for row in rows if row["stage"] == "confirm"}
    best = max(tried, key=lambda row: float(row["select_score"]))
    assert best["hyperparameters"] in confirmed
    pruned = [row for row in rows if row["status"] == "pruned"]
    assert all(row["select_score"] <= best["select_score"] for row in pruned)


def test_a_plugin_that_needs_probabilities(tmp_path: Path) -> None:
    study = written(tmp_path / "s", ["brier"], plugins=["./brier.py"], seeds=1)
    (tmp_path / "s/brier.py").write_text((HERE.parent / "doors/brier.py").read_text())
    rows = run(study, tmp_path / "r")
    for row in rows:
        labels, probabilities = said(tmp_path / "r", row["trial_id"])
        error = np.square(probabilities - np.eye(2)[labels.astype(int)]).sum(axis=1).mean()
        assert (row["metric"], row["score"]) == ("neg_brier", pytest.approx(-error, abs=1e-6))
    results = load_results(str(tmp_path / "r"))
    assert {one.n_examples for one in Samples(results, runs(results)).values()} == {200}
    before = {row["trial_id"] for row in rows}
    with (tmp_path / "s/brier.py").open("a") as file:
        file.write("# another text\n")
    doors._plugins.clear()
    assert before.isdisjoint(row["trial_id"] for row in run(study, tmp_path / "again"))


def test_what_a_constant_predictor_is_best_at_is_no_main_metric(tmp_path: Path) -> None:
    with pytest.raises(
        StudyError, match=r"a constant predictor gets the best ece there is.* metric: \[accuracy, ece\]"
    ):
        run(written(tmp_path / "s", ["ece"]), tmp_path / "r")


UNDEFINED = """
from finebench.bench.metrics import Metric

def score(labels, predictions):
    {body}

METRIC = Metric("spread", "classes", "a ratio", "nothing", score, higher_is_better=False, range=(0.0, 9.0))
"""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return 1.0 if predictions.std() else float('nan')", "of a constant prediction is nan, and runs that"),
        ("return 1 // int(predictions.std() > 0)", "of a constant prediction fails: ZeroDivisionError"),
    ],
)
def test_a_metric_without_a_value_for_a_constant_is_refused_before_the_start(
    tmp_path: Path, body: str, words: str
) -> None:
    study = written(tmp_path / "s", ["spread"], plugins=["./spread.py"], seeds=1)
    (tmp_path / "s/spread.py").write_text(UNDEFINED.format(body=body))
    with pytest.raises(StudyError, match=rf"task 'mine': metric 'neg_spread' {words}"):
        run(study, tmp_path / "r")
    assert not (tmp_path / "r").exists()
