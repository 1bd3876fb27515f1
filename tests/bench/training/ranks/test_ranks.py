"""Two ranks train what one does: the same batches, the same masks, the same gradients, the same scores."""

import dataclasses
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from finebench.bench.driver.validate import Prepared
from finebench.bench.models.parameters import trained_tensors, whole
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.loop import train
from finebench.bench.training.losses import parts
from finebench.bench.training.optimiser import make_optimizer
from finebench.bench.training.ranks.group import Place, Ranks, listen
from finebench.bench.training.worker.make_job import on_stored_features
from finebench.bench.training.worker.messages import Share, Shipment
from finebench.bench.training.worker.on_ranks import on_ranks
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.bench.tiny import tiny_prepared

METHODS: dict[str, Any] = {
    "full": {"lr": 1e-3},
    "bitfit": {"lr": 5e-3},
    "lora": {"lr": 1e-3, "dropout": 0.1},
    "adapter": {"lr": 1e-3},
    "head": {"lr": 1e-2},
    "prefix": {"lr": 1e-2},
}
HOST = "127.0.0.1"


def study(**training: Any) -> Prepared:
    """Batches of 7 rows, so that no two ranks have as many."""
    return tiny_prepared(
        methods=METHODS, tasks=["mini-cola", "mini-stsb"], training={"evals": 2, "batch_size": 7} | training
    )


def trial(ready: Prepared, method: str, task: str = "mini-cola", ranks: int = 1, **changes: Any) -> Trial:
    cell = next(cell for cell in ready.plan.cells() if (cell.method, cell.task) == (method, task))
    made = ready.plan.trial(cell, "grid", ready.plan.points(cell)[0], Seeds.paired(1), ready.known)
    return dataclasses.replace(made, ranks=ranks, **changes)


def trained(one: Trial, shipment: Shipment, dtype: torch.dtype, ranks: Ranks | None) -> tuple[Any, Any]:
    """The tensors that a trial comes to, and its evaluations."""
    cache = WorkerCache(shipment, Share())
    member = Member(one, cache, None, ranks=ranks)
    job, audit = member.make_job()
    job.model.to(dtype)
    job = dataclasses.replace(job, score=dataclasses.replace(job.score, rows=job.score.rows[:60]))
    job, _ = on_stored_features(one, cache, job, audit)
    job = job if ranks is None else on_ranks(job, ranks)
    progress = Progress()
    for _ in train(job, progress, make_optimizer(job.model, job.lr, job.training.weight_decay, job.multipliers)):
        pass
    tensors = {name: whole(tensor).double() for name, tensor in trained_tensors(job.model).items()}
    scores = [(e.select.loss, e.select.metrics, e.improved, e.select.values) for e in progress.evaluations]
    return {name: tensor.numpy() for name, tensor in tensors.items()}, scores


def as_rank(rank: int, number: int, port: int, asked: list[tuple[str, Shipment, torch.dtype]], answers: Any) -> None:
    """One process: trains what is asked, one after the other, in one group."""
    place = Place(rank, number, HOST, port)
    ranks = Ranks.open(place, torch.device("cpu"), patience=60.0)
    found = [trained(Trial.from_json(text), shipment, dtype, ranks) for text, shipment, dtype in asked]
    ranks.close()
    answers.put((rank, found))


def on_two_ranks(asked: list[tuple[Trial, Shipment, torch.dtype]], number: int = 2) -> list[list[tuple[Any, Any]]]:
    """What each rank came to, by rank."""
    store, context = listen(HOST), multiprocessing.get_context("spawn")
    answers = context.Queue()
    texts = [(one.to_json(), shipment, dtype) for one, shipment, dtype in asked]
    processes = [context.Process(target=as_rank, args=(r, number, store.port, texts, answers)) for r in range(number)]
    for process in processes:
        process.start()
    try:
        found = dict(answers.get(timeout=240) for _ in processes)
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    return [found[rank] for rank in range(number)]


def same(one: Any, other: Any, tolerance: float) -> None:
    (tensors, scores), (others, other_scores) = one, other
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        np.testing.assert_allclose(others[name], tensor, rtol=0, atol=tolerance, err_msg=name)
    for (loss, metrics, improved, values), (loss2, metrics2, improved2, values2) in zip(
        scores, other_scores, strict=True
    ):
        assert loss2 == pytest.approx(loss, abs=10 * tolerance)
        assert improved2 == improved
        assert metrics2 == pytest.approx(metrics, abs=100 * tolerance)
        np.testing.assert_allclose(values2, values, atol=100 * tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_two_ranks_train_what_one_does(dtype: torch.dtype, tolerance: float) -> None:
    """Every kind of method, with dropout, on classes and on numbers; each evaluation too."""
    ready = study()
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0)
    cells = [(method, "mini-cola") for method in METHODS] + [("lora", "mini-stsb")]
    wanted = [trained(trial(ready, *cell), shipment, dtype, None) for cell in cells]
    first, second = on_two_ranks([(trial(ready, *cell, ranks=2), shipment, dtype) for cell in cells])
    for one, two, also in zip(wanted, first, second, strict=True):
        same(one, two, tolerance)
        same(two, also, 0.0)  # no rank drifts from the other, by not one bit
