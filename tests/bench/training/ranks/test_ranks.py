"""Two ranks train what one does: the same batches, the same masks, the same gradients, the same scores."""

import dataclasses
import multiprocessing
import queue
from contextlib import suppress
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from finebench.bench.data.tokenize import Tokens, collate
from finebench.bench.driver.validate import Prepared
from finebench.bench.models.parameters import trained_tensors, whole
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.parts.training import Training
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.build_model import build
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.loop import train
from finebench.bench.training.losses import parts
from finebench.bench.training.optimiser import make_optimizer
from finebench.bench.training.ranks.group import Place, Ranks, listen
from finebench.bench.training.worker import make_job
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
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-6}
KEY_BIAS = "attention.self.key.bias"
"""Of whose gradient nothing but rounding is left: a softmax over keys does not change with it. Adam makes whole steps
of that."""

Asked = list[tuple[Trial, Shipment, torch.dtype]]
Found = tuple[dict[str, np.ndarray], list[Any]]


def study() -> Prepared:
    """Batches of 7 rows, so that no two ranks have as many."""
    training = {"evals": 2, "batch_size": 7}
    return tiny_prepared(
        methods=METHODS, tasks=["mini-cola", "mini-stsb"], training=training, budget={"steps": 4}, fractions=[0.05]
    )


def trial(ready: Prepared, method: str, task: str = "mini-cola", ranks: int = 1, **changes: Any) -> Trial:
    cell = next(cell for cell in ready.plan.cells() if (cell.method, cell.task) == (method, task))
    made = ready.plan.trial(cell, "grid", ready.plan.points(cell)[0], Seeds.paired(1), ready.known)
    return dataclasses.replace(made, ranks=ranks, **changes)


def trained(one: Trial, shipment: Shipment, dtype: torch.dtype, ranks: Ranks | None) -> Found:
    """The tensors that a trial comes to, and its evaluations, on few rows."""
    cache = WorkerCache(shipment, Share())
    with mock.patch.object(make_job, "build", lambda *given: build(*given).to(dtype)):
        job, audit = Member(one, cache, None, ranks=ranks).make_job()
    few = {name: dataclasses.replace(held := getattr(job, name), rows=held.rows[:50]) for name in ("select", "score")}
    job, _ = on_stored_features(one, cache, dataclasses.replace(job, **few), audit)
    job = job if ranks is None else on_ranks(job, ranks)
    progress = Progress()
    optimizer = make_optimizer(job.model, job.lr, job.training.weight_decay, job.multipliers)
    if dtype == torch.float32:  # steps in the gradient itself: AdamW's are as long where it is next to nothing
        job = dataclasses.replace(job, lr=0.1)
        groups = [group | {"fused": False} for group in optimizer.param_groups]  # none is fused for shards
        optimizer = torch.optim.SGD(groups, lr=0.1)  # type: ignore[assignment]
    for _ in train(job, progress, optimizer):
        pass
    tensors = {name: whole(tensor).double().numpy() for name, tensor in trained_tensors(job.model).items()}
    return tensors, [(e.select.loss, e.select.metrics, e.improved, e.select.values) for e in progress.evaluations]


def as_rank(rank: int, number: int, port: int, asked: Any, answers: Any) -> None:
    """One process: trains what is asked, one after the other, in one group."""
    ranks = Ranks.open(Place(rank, number, HOST, port), torch.device("cpu"), patience=60.0)
    found = [trained(Trial.from_json(text), shipment, dtype, ranks) for text, shipment, dtype in asked]
    ranks.close()
    answers.put((rank, found))


def on_ranks_of(asked: Asked, number: int = 2) -> list[list[Found]]:
    """What each rank came to, by rank."""
    store, context = listen(HOST), multiprocessing.get_context("spawn")
    answers = context.Queue()
    texts = [(one.to_json(), shipment, dtype) for one, shipment, dtype in asked]
    processes = [context.Process(target=as_rank, args=(r, number, store.port, texts, answers)) for r in range(number)]
    for process in processes:
        process.start()
    found: dict[int, list[Found]] = {}
    try:
        while len(found) < number and all(process.exitcode in (None, 0) for process in processes):
            with suppress(queue.Empty):
                found |= [answers.get(timeout=1)]
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    return [found[rank] for rank in range(number)]


def same(one: Found, other: Found, tolerance: float) -> None:
    (tensors, scores), (others, other_scores) = one, other
    assert tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        if tolerance == 0 or KEY_BIAS not in name:
            np.testing.assert_allclose(others[name], tensor, rtol=0, atol=tolerance, err_msg=name)
    for (loss, metrics, improved, values), (*also, values_too) in zip(scores, other_scores, strict=True):
        assert also == [pytest.approx(loss, abs=1e-6), pytest.approx(metrics, abs=1e-6), improved]
        np.testing.assert_allclose(values_too, values, atol=max(tolerance, 1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("shard", ["none", "full"])
def test_two_ranks_train_what_one_does(shard: str) -> None:
    """Every kind of method (two in shards), with dropout, on classes and on numbers, in parts too; and each evaluation:
    to 1e-12 in float64, to 1e-6 in float32."""
    ready = study()
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0)
    trials = [trial(ready, method) for method in (METHODS if shard == "none" else ("full", "lora"))]
    trials.append(trial(ready, "lora", "mini-stsb"))
    trials.append(
        dataclasses.replace(trials[0], training=Training(**trials[0].training.model_dump() | {"micro_batch": 2}))
    )
    asked = [(one, dtype) for dtype in TOLERANCE for one in trials]
    wanted = [trained(one, shipment, dtype, None) for one, dtype in asked]
    ranked = [(dataclasses.replace(one, ranks=2, shard=shard), shipment, dtype) for one, dtype in asked]
    first, second = on_ranks_of(ranked)
    for (_, dtype), alone, here, there in zip(asked, wanted, first, second, strict=True):
        same(alone, here, TOLERANCE[dtype])
        same(here, there, 0.0)  # no rank drifts from the other, by not one bit


@pytest.mark.parametrize("rows", [1, 2, 5, 7, 16])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("micro_batch", [None, 1, 2])
def test_a_batch_is_divided_once_and_evenly(rows: int, ranks: int, micro_batch: int | None) -> None:
    divided = [parts(rows, micro_batch, rank, ranks) for rank in range(ranks)]
    counted = [place for one in divided for part, counts in one if counts for place in range(rows)[part]]
    assert counted == list(range(rows))
    assert len({len(one) for one in divided}) == 1  # they compute together
    sizes = [sum(part.stop - part.start for part, counts in one if counts) for one in divided]
    assert max(sizes) - min(sizes) <= 1
    assert all(part.stop - part.start > 0 for one in divided for part, _ in one)


def test_a_part_padded_on_the_left_stands_as_in_the_whole_batch() -> None:
    """Its dropout depends on the places."""
    ids, offsets = np.arange(1, 7, dtype=np.int32), np.array([0, 1, 6])
    tokens = Tokens(ids, offsets, None, left=True)
    whole_batch = collate(tokens, np.array([0, 1]), 0)["input_ids"]
    assert collate(tokens, np.array([0]), 0, among=np.array([0, 1]))["input_ids"].tolist() == whole_batch[:1].tolist()
    assert collate(tokens, np.array([0]), 0)["input_ids"].tolist() == [[1]]
