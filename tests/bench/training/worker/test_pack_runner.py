"""Trials as they really run: held-out scores stay held out, same trial same bits, and every end is a status."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finebench.bench.data.rows import Split
from finebench.bench.driver.validate import Prepared
from finebench.bench.results.record import Record
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.trial_id import Trial
from finebench.bench.training import loop, optimiser, prediction
from finebench.bench.training.evaluation import Predictions, Progress
from finebench.bench.training.worker import make_job, measurement
from finebench.bench.training.worker.messages import Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.solitude import Solitude
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.bench.tiny import run_tiny, tiny_prepared
from tests.bench.training.worker.test_float32_modules import job, tokens

CLOCKS = {"train_seconds", "eval_seconds", "startup_seconds", "peak_memory_bytes", "started_at", "finished_at"}
CLOCKS |= {"exclusive"}  # measured, and so whatever else this machine does


@pytest.fixture(scope="module")
def ready() -> Prepared:
    """A tiny study with two tasks of different kinds."""
    return tiny_prepared(tasks=["mini-cola", "mini-stsb"])


@pytest.fixture
def cache(ready: Prepared) -> Iterator[WorkerCache]:
    """A fresh process state on one thread; threads are set back afterwards."""
    threads = torch.get_num_threads()
    yield make_cache(ready)
    torch.set_num_threads(threads)


def make_cache(ready: Prepared, **changes: Any) -> WorkerCache:
    """WorkerCache state for a prepared study."""
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0)
    return WorkerCache(dataclasses.replace(shipment, **changes), Share())


def make_trials(ready: Prepared, seeds: int = 1) -> list[Trial]:
    """The grid's trials, one seed after the other."""
    plan = ready.plan
    cells = list(plan.cells())
    every = [Seeds.paired(k) for k in range(1, seeds + 1)]
    return [plan.trial(c, "grid", plan.points(c)[0], s, ready.known) for s in every for c in cells]


def finish(cache: WorkerCache, *trials: Trial, rate: float | None = None) -> list[Record]:
    """Run trials as one pack to the end, each by its own solo loop in turn."""
    return PackRun(cache, Pack(trials), rate, fused=False).finish()


def science(record: Record) -> tuple[dict[str, Any], Any, Any]:
    """All of a record but what a clock or a memory counter says."""
    row = {k: v for k, v in record.trial.items() if k not in CLOCKS}
    return row, record.evals.drop_columns(["train_seconds"]), record.predictions


def test_two_runs_of_a_trial_are_bit_identical(ready: Prepared, cache: WorkerCache) -> None:
    """A reused process and a fresh one give the same bits."""
    first, second = make_trials(ready)[:2]
    alone = [science(finish(make_cache(ready), t)[0]) for t in (first, second)]
    finish(cache, second)
    assert science(finish(cache, first)[0]) == alone[0]
    assert science(finish(cache, second)[0]) == alone[1]
    assert alone[0][0]["status"] == "ok"


def test_a_pack_in_lockstep_gives_its_members_solo_scores(ready: Prepared, cache: WorkerCache) -> None:
    """Interleaving changes nothing: random streams belong to trials, not to the process."""
    mine = [t for t in make_trials(ready, seeds=2) if t.task.name == "mini-cola" and t.method == "full"]
    together = [science(record) for record in finish(cache, *mine)]
    alone = [science(finish(cache, t)[0]) for t in mine]
    for (row, evals, predictions), (own, own_evals, own_predictions) in zip(together, alone, strict=True):
        assert row["pack_size"] == 2
        assert row | {"pack_size": 1} == own
        assert evals.equals(own_evals)
        assert predictions.equals(own_predictions)


def test_no_choice_sees_the_score_split(ready: Prepared, cache: WorkerCache) -> None:
    """With other labels on `score`, everything that is chosen or predicted stays the same; only scores change."""
    trial = next(t for t in make_trials(ready) if t.task.name == "mini-stsb")
    task = ready.tasks[trial.task.name]
    flipped = dataclasses.replace(task, score=Split(task.score.texts, np.roll(task.score.labels, 7)))
    other = make_cache(ready, tasks={**ready.tasks, trial.task.name: flipped})
    a, b = finish(cache, trial)[0], finish(other, trial)[0]
    assert a.trial["select_score"] == b.trial["select_score"]
    assert a.predictions["prediction"].equals(b.predictions["prediction"])
    select = [r.evals.filter(np.asarray(r.evals["split"]) == "select").drop_columns(["train_seconds"]) for r in (a, b)]
    assert select[0].equals(select[1])
    assert a.evals["split"].equals(b.evals["split"])
    assert a.trial["score"] != b.trial["score"]


def test_the_score_is_the_one_at_the_best_select_checkpoint(ready: Prepared, cache: WorkerCache) -> None:
    """Trap: Ray takes the last report for the result."""
    for trial in make_trials(ready):
        record = finish(cache, trial)[0]
        rows = record.evals.to_pylist()
        select = [r for r in rows if r["split"] == "select"]
        best = max(select, key=lambda r: (r["value"], -r["step"]))
        score = {r["step"]: r["value"] for r in rows if r["split"] == "score"}
        assert record.trial["select_score"] == best["value"]
        assert record.trial["score"] == score[best["step"]]
        assert record.trial["score_last"] == score[max(score)]


def test_predictions_recompute_the_score(ready: Prepared, cache: WorkerCache) -> None:
    """The rows in `predictions` are those that `score` was computed from."""
    from scipy.stats import pearsonr

    trial = next(t for t in make_trials(ready) if t.task.name == "mini-stsb")
    record = finish(cache, trial)[0]
    found = pearsonr(record.predictions["label"], record.predictions["prediction"]).statistic
    assert record.trial["score"] == pytest.approx(found, abs=1e-12)
    assert record.predictions["probability"].null_count == record.predictions.num_rows


def test_all_class_probabilities_are_stored(ready: Prepared, cache: WorkerCache) -> None:
    """A list a row, of which the predicted class has the largest; they sum to one."""
    trial = next(t for t in make_trials(ready) if t.task.name == "mini-cola")
    rows = finish(cache, trial)[0].predictions
    probability = np.array(rows["probability"].to_pylist())
    assert probability.shape == (rows.num_rows, 2)
    assert probability.sum(1) == pytest.approx(np.ones(rows.num_rows))
    assert probability.argmax(1).tolist() == rows["prediction"].to_pylist()


def test_weights_that_the_last_step_broke_are_diverged(
    ready: Prepared, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every training loss was finite, and yet there is no model to score."""
    real = torch.optim.AdamW.step

    def breaking(self: Any, *args: Any, **kwargs: Any) -> Any:
        done = real(self, *args, **kwargs)
        for group in self.param_groups:
            for parameter in group["params"]:
                if self.state[parameter]["step"] == ready.study.budget[0].steps:
                    parameter.data.fill_(float("nan"))
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", breaking)
    row = finish(cache, make_trials(ready)[0])[0].trial
    assert row["status"] == "diverged"
    assert "`select`" in row["reason"]


def test_a_non_finite_loss_is_diverged(ready: Prepared, cache: WorkerCache) -> None:
    """Status, reason, no score, and the constant predictor's select score for choices."""
    trial = make_trials(ready)[0]
    backbone = cache.backbone(ready.tasks[trial.task.name])
    with torch.no_grad():
        next(backbone.model.parameters()).fill_(float("nan"))
    record = finish(cache, trial)[0]
    assert record.trial["status"] == "diverged"
    assert "not finite at step 1" in record.trial["reason"]
    assert record.trial["score"] is None
    assert record.trial["select_score"] == 0.0
    assert record.predictions.num_rows == 0


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError("host"), "oom"),
        (torch.OutOfMemoryError("device"), "oom"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "oom"),
        (ValueError("broken"), "error"),
    ],
)
def test_an_exception_is_an_outcome(
    ready: Prepared, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch, error: Exception, status: str
) -> None:
    """What goes wrong inside a trial ends as a row that says what and where."""

    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(make_job, "build", fail)
    record = finish(cache, make_trials(ready)[0])[0]
    assert record.trial["status"] == status
    assert type(error).__name__ in record.trial["reason"]
    assert "test_pack_runner.py" in record.trial["reason"]


def test_a_trial_past_its_time_limit_is_a_timeout(ready: Prepared) -> None:
    """trial_timeout ends it."""
    record = finish(make_cache(ready, timeout=0.0), make_trials(ready)[0])[0]
    assert record.trial["status"] == "timeout"
    assert record.trial["score"] is None


def test_a_failing_trial_does_not_stop_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest of the sweep goes on, and the failed one is run again next time."""
    real = make_job.build

    def fail_once(backbone: Any, method: Any, seed: int) -> Any:
        if method.name == "full":
            raise MemoryError("no room")
        return real(backbone, method, seed)

    with monkeypatch.context() as patch:
        patch.setattr(make_job, "build", fail_once)
        assert run_tiny(tmp_path).statuses == {"oom": 1, "ok": 1}
    assert run_tiny(tmp_path).statuses == {"ok": 1}
    assert run_tiny(tmp_path).statuses == {}


def test_a_seconds_budget_uses_its_stored_calibration(tmp_path: Path) -> None:
    """Steps follow from one stored measurement, so that a rerun trains as many."""
    run_tiny(tmp_path, budget={"seconds": 0.5}, methods={"full": {"lr": [1e-3, 1e-4]}})
    from finebench.bench.results.folder import ResultsFolder

    folder = ResultsFolder(str(tmp_path))
    rates = folder.read_json("calibration.json")["steps_per_second"]
    assert len(rates) == 1
    steps = {row["steps"] for row in folder.rows()}
    assert steps == {max(1, int(0.5 * next(iter(rates.values()))))}


def test_flops_and_counts_are_filled_in(ready: Prepared, cache: WorkerCache) -> None:
    """What is counted is counted; a CPU's energy is not guessed."""
    row = finish(cache, make_trials(ready)[0])[0].trial
    assert row["steps"] == 6
    assert row["examples"] == 48
    assert row["train_flops"] > 0
    assert row["trainable_params"] == row["total_params"]
    assert 0 < row["head_params"] < row["trainable_params"]
    assert row["delta_bytes"] == 4 * row["trainable_params"]
    assert row["energy_joules"] is None
    assert row["peak_memory_bytes"] > 0
    assert row["peak_allocated_bytes"] is None
    assert row["precision"] == "fp32"


@pytest.mark.parametrize(("waited", "gpu", "expected"), [(0.0, 1.0, True), (0.5, 1.0, False), (0.0, 0.5, False)])
def test_exclusive_is_measured(
    ready: Prepared, monkeypatch: pytest.MonkeyPatch, waited: float, gpu: float, expected: bool
) -> None:
    """Of a trial that waited for its core it is false, as of one that has a part of a GPU, and of any in a pack."""
    monkeypatch.setenv("FINEBENCH_LOGICAL_GPUS", "1")
    monkeypatch.setattr(Solitude, "waiting", lambda self: waited)
    cache = make_cache(ready)
    cache.take(Share(1.0, gpu))
    first, second = make_trials(ready)[:2]
    assert finish(cache, first)[0].trial["exclusive"] is expected
    assert [record.trial["exclusive"] for record in finish(cache, first, second)] == [False, False]


@pytest.mark.parametrize("company", [False, True])
def test_energy_is_a_trials_own_or_not_known(
    ready: Prepared, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch, company: bool
) -> None:
    """A GPU's counter counts what its other processes take too."""
    monkeypatch.setattr(measurement.Meter, "energy", lambda self: 5.0)
    monkeypatch.setattr(Solitude, "_on_gpu", lambda self: company)
    monkeypatch.setattr(Solitude, "waiting", lambda self: 0.0)
    row = finish(cache, make_trials(ready)[0])[0].trial
    assert (row["energy_joules"], row["exclusive"]) == ((None, False) if company else (5.0, True))


def test_a_trial_that_fails_before_it_trains_was_seen_by_no_one(
    ready: Prepared, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exclusive says that nothing else ran, not that nothing is known."""

    def fail(*arguments: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr(Solitude, "waiting", lambda self: 0.0)
    monkeypatch.setattr(make_job, "build", fail)
    assert finish(cache, make_trials(ready)[0])[0].trial["exclusive"] is False


def test_of_equal_evaluations_the_first_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later one that is no better costs no look at the score split, but at the end."""
    rows, labels = tokens("bert"), np.array([0, 1, 0, 1, 1, 0])
    one = job("bert", "bitfit", "fp32", 1, rows, labels)
    one = dataclasses.replace(one, steps=3, training=one.training.model_copy(update={"evals": 3}))
    same = Predictions(labels, None, 0.5, {"accuracy": 0.5})
    monkeypatch.setattr(prediction, "predict", lambda job, examples: same)
    progress = Progress()
    found = list(loop.train(one, progress))
    assert [(each.step, each.improved, each.score is None) for each in found] == [
        (1, True, False),
        (2, False, True),
        (3, False, False),
    ]
    assert progress.best is found[0]


def test_what_is_decayed() -> None:
    """Weight matrices, also of one row in a linear layer; neither biases nor scales stored as a row or a column."""

    class Scales(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.row, self.column = nn.Parameter(torch.ones(1, 4)), nn.Parameter(torch.ones(4, 1))
            self.matrix, self.head = nn.Parameter(torch.ones(4, 4)), nn.Linear(4, 1)

    model = Scales()
    decayed, others = optimiser.make_optimizer(model, 1e-3, 0.1).param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in decayed["params"]} == {id(model.matrix), id(model.head.weight)}
    assert {id(p) for p in others["params"]} == {id(model.row), id(model.column), id(model.head.bias)}
