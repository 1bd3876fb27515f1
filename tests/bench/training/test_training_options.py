"""Class weights, batches in parts, gradient checkpointing, named seeds, training options in a method's space."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn.functional import cross_entropy

from finebench.bench.driver.validate import Prepared
from finebench.bench.methods import method
from finebench.bench.models.gradient_checkpointing import recompute
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.parts.training import Training
from finebench.bench.study.plan import Plan
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.loop import _step, batches, training_mode
from finebench.bench.training.losses import class_weights, mean_loss, parts, row_shares
from finebench.bench.training.worker.messages import Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util.errors import ModelError, StudyError
from tests.bench.tiny import run_tiny, tiny_prepared, tiny_study
from tests.bench.tiny_models import tiny_batch, tiny_model


@pytest.fixture(scope="module")
def ready() -> Prepared:
    return tiny_prepared(methods={"full": {"lr": 1e-3}, "lora": {"lr": 1e-3, "dropout": 0.1}})


def cache(ready: Prepared) -> WorkerCache:
    return WorkerCache(Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0), Share())


def trial(ready: Prepared, name: str, seed: int = 1, **training: Any) -> Trial:
    cell = next(cell for cell in ready.plan.cells() if cell.method == name)
    made = ready.plan.trial(cell, "grid", ready.plan.points(cell)[0], Seeds.paired(seed), ready.known)
    return dataclasses.replace(made, training=Training(**made.training.model_dump() | training))


class Caught(torch.optim.SGD):
    """Keeps the gradients of a step."""

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        self.caught = [p.grad.clone() for g in self.param_groups for p in g["params"] if p.grad is not None]


def gradients(ready: Prepared, name: str, **training: Any) -> tuple[list[torch.Tensor], float]:
    """Gradients and loss of a trial's first step."""
    job = Member(trial(ready, name, **training), cache(ready), None).make_job()[0]
    job = dataclasses.replace(job, training=job.training.model_copy(update={"max_grad_norm": 1e9}))
    trained = [p for p in job.model.parameters() if p.requires_grad]
    optimizer = Caught(trained, lr=0.0)
    training_mode(job.model)
    loss = _step(job, optimizer, trained, next(batches(job)), 1)  # type: ignore[arg-type]
    return optimizer.caught, float(loss)


@pytest.mark.parametrize("name", ["full", "lora"])
@pytest.mark.parametrize(
    "training",
    [{"micro_batch": 3}, {"micro_batch": 1}, {"checkpointing": True}, {"checkpointing": True, "micro_batch": 3}],
)
@pytest.mark.parametrize("weights", [None, [1.0, 5.0]])
def test_less_memory_gives_the_gradients_of_the_whole_batch(
    ready: Prepared, name: str, training: dict[str, Any], weights: Any
) -> None:
    """With dropout: each row has the mask that it has in the whole batch."""
    whole, loss = gradients(ready, name, class_weights=weights)
    found, same = gradients(ready, name, class_weights=weights, **training)
    assert same == pytest.approx(loss, rel=1e-5)
    assert len(found) == len(whole) > 0
    largest = max(float(one.abs().max()) for one in whole)
    for one, other in zip(whole, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5 * largest)


def test_what_computes_something_else_with_checkpointing_is_refused() -> None:
    """A prefix is carried by past keys and values, which layers that are computed again do not take."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = method("prefix")(tokens=5).apply(tiny_model("llama", initializer_range=0.3))
    with pytest.raises(ModelError, match=r"training\.checkpointing: this method on a llama model cannot"):
        recompute(model, tiny_batch("llama"))


# Losses


def test_the_weighted_loss_is_torchs_and_the_rows_shares_say_the_same() -> None:
    logits, labels = torch.randn(6, 3, generator=torch.manual_seed(0)), np.array([0, 2, 1, 1, 0, 2])
    weights = np.array([1.0, 2.0, 0.5])
    wanted = cross_entropy(logits, torch.from_numpy(labels), torch.tensor([1.0, 2.0, 0.5]))
    each = cross_entropy(logits, torch.from_numpy(labels), reduction="none").numpy()
    assert mean_loss(logits, torch.from_numpy(labels), False, weights) == wanted
    assert float((each * row_shares(labels, weights)).sum()) == pytest.approx(float(wanted), rel=1e-6)
    assert row_shares(labels, None).tolist() == [1 / 6] * 6


def test_balanced_weights_are_scikit_learns() -> None:
    labels = np.array([0] * 7 + [1] * 2 + [2] * 3)
    wanted = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    found = class_weights(Training(class_weights="balanced"), labels, 3)
    assert found is not None
    np.testing.assert_allclose(found, wanted)
    assert class_weights(Training(), labels, 3) is None


def test_a_batch_in_parts_is_the_batch() -> None:
    rows = np.arange(7)
    assert [rows[part].tolist() for part, _ in parts(len(rows), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [rows[part].tolist() for part, _ in parts(len(rows), None)] == [rows.tolist()]


# Packs


def test_class_weights_in_a_pack_are_those_alone(ready: Prepared) -> None:
    mine = tuple(trial(ready, "full", seed, class_weights="balanced") for seed in (1, 2))
    packed = PackRun(cache(ready), Pack(mine), fused=True)
    together = packed.finish()
    assert packed.notes() == []
    alone = [PackRun(cache(ready), Pack((one,))).finish()[0] for one in mine]
    plain = PackRun(cache(ready), Pack((trial(ready, "full"),))).finish()[0]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.evals["loss"].to_numpy(), other.evals["loss"].to_numpy(), rtol=1e-3)
    assert alone[0].evals["loss"].to_pylist() != plain.evals["loss"].to_pylist()


@pytest.mark.parametrize("training", [{"micro_batch": 3}, {"checkpointing": True}])
def test_what_a_pack_cannot_do_is_trained_in_turn(ready: Prepared, training: dict[str, Any]) -> None:
    mine = tuple(trial(ready, "full", seed, **training) for seed in (1, 2))
    run = PackRun(cache(ready), Pack(mine), fused=True)
    together = run.finish()
    assert "is trained in turn: micro_batch and checkpointing" in " ".join(run.notes())
    alone = PackRun(cache(ready), Pack(mine[1:])).finish()[0]
    assert together[1].predictions.equals(alone.predictions)


# Studies


def test_what_is_new_is_in_the_identity_and_only_where_it_is_used(ready: Prepared) -> None:
    plain = trial(ready, "full")
    new: list[dict[str, Any]] = [{"micro_batch": 4}, {"checkpointing": True}, {"class_weights": "balanced"}]
    assert len({plain.id, *(trial(ready, "full", **one).id for one in new)}) == 4
    assert trial(ready, "full", micro_batch=None, checkpointing=False, class_weights=None).id == plain.id


def test_a_training_option_of_a_methods_space_is_the_studys(ready: Prepared) -> None:
    made = Plan(tiny_study(methods={"full": {"lr": 1e-3, "batch_size": [8, 4], "warmup": 0}}))
    cell = next(made.cells())
    found = [made.trial(cell, "grid", point, Seeds.paired(1), ready.known) for point in made.points(cell)]
    assert [one.training.batch_size for one in found] == [8, 4]
    assert [dict(one.hyperparameters) for one in found] == [{"lr": 1e-3}] * 2
    assert [json.loads(one.configuration)["batch_size"] for one in found] == [8, 4]
    assert found[0].tuned == ("batch_size", "warmup")
    assert found[0].id == trial(ready, "full", warmup=0.0).id
    assert Trial.from_json(found[1].to_json()) == found[1]
    assert made.default(cell) == {"lr": 2e-5, "batch_size": 8, "warmup": 0.06}


def test_a_run_over_training_options_can_be_verified_and_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from finebench.bench.cli.rerun import rerun_command
    from finebench.bench.cli.upkeep import verify_command

    run_tiny(tmp_path, methods={"bitfit": {"lr": 5e-3, "batch_size": [4, 8], "weight_decay": 0.1}}, seeds=[7])
    rows = {row["batch_size"]: row for row in ResultsFolder(str(tmp_path)).rows()}
    assert sorted(rows) == [4, 8]
    assert {row["seed"] for row in rows.values()} == {7}
    assert json.loads(rows[4]["hyperparameters"]) == {
        "lr": 5e-3,
        "terms": "all",
        "batch_size": 4,
        "weight_decay": 0.1,
    }
    assert rerun_command(str(tmp_path), rows[4]["trial_id"]) == 0
    assert verify_command(str(tmp_path), as_json=False) == 0
    assert "note: model, data or code have changed" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": [3, 3]}, "seeds: a number from 1 to 999, a list of different ones"),
        ({"seeds": []}, "a list of different ones"),
        ({"seeds": [0]}, "a list of different ones"),
        ({"seeds": [True]}, "a list of different ones"),
        ({"training": {"batch_size": 8, "micro_batch": 8}}, "micro_batch 8 is no part of a batch of 8"),
        ({"training": {"class_weights": "balance"}}, "training.class_weights"),
        ({"training": {"class_weights": [1.0, -1.0]}}, "training.class_weights"),
        ({"methods": {"full": {"lr": 1e-3, "batch_size": [8, 0]}}}, "tiny.yaml: methods.full.batch_size"),
        ({"methods": {"full": {"lr": 1e-3, "max_length": 64}}}, "max_length"),
        ({"methods": {"full": {"lr": 1e-3, "weight_decay": {"loguniform": [1e-3, 1]}}}}, "a distribution needs search"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError) as caught:
        tiny_study(**changes)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("task", "weights", "says"),
    [
        ("mini-stsb", "balanced", "task 'mini-stsb' is a regression"),
        ("mini-cola", [1.0, 2.0, 3.0], "3 weights given, and task 'mini-cola' has 2 classes"),
    ],
)
def test_weights_that_do_not_fit_a_task_are_refused_before_anything_runs(task: str, weights: Any, says: str) -> None:
    with pytest.raises(StudyError, match=says):
        tiny_prepared(tasks=[task], training={"class_weights": weights})


def test_named_seeds_are_those_that_run() -> None:
    made = Plan(tiny_study(seeds=[11, 3, 7], fractions=[0.5, 1.0]))
    assert [one.code for one in made.seeds(0.5)] == [11, 3, 7]
    assert made.count() == 2 * 3 * 2
