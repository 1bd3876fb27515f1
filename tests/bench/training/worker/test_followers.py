"""A trial on several ranks, as rank 0 runs it: its rows, its checkpoints, and what becomes of it where one fails."""

import dataclasses
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from finebench.bench.driver.validate import Prepared
from finebench.bench.results.lock import Lock
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.ranks.group import Ranks
from finebench.bench.training.worker import pack_runner
from finebench.bench.training.worker.followers import LocalFollowers
from finebench.bench.training.worker.messages import Orders, Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun, calibrate
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util import own_python
from finebench.bench.util.doors import Plugin
from finebench.bench.util.errors import DeviceLost
from tests.bench.tiny import tiny_prepared
from tests.bench.training.worker.test_pack_runner import science

FAILS = """
from finebench.bench.methods import Method
from torch import distributed


class Fails(Method):
    name = "fails"
    summary = "runs out of memory on the second of two ranks"
    paper = "none"
    defaults_from = "none"
    default_space = {"lr": [1e-3]}

    def apply(self, model):
        if distributed.is_initialized() and distributed.get_rank() == 1:
            raise MemoryError("no room here")
        return model
"""


@pytest.fixture(scope="module")
def ready() -> Prepared:
    methods = {"full": {"lr": 1e-3}, "lora": {"lr": 1e-2, "dropout": 0.1}}
    return tiny_prepared(methods=methods, tasks=["mini-stsb"], fractions=[0.05], budget={"steps": 6})


def trials(ready: Prepared, method: str, ranks: int = 2, shard: str = "none", seeds: int = 1) -> list[Trial]:
    plan = ready.plan
    cell = next(one for one in plan.cells() if one.method == method)
    made = [plan.trial(cell, "grid", plan.points(cell)[0], Seeds.paired(k + 1), ready.known) for k in range(seeds)]
    return [dataclasses.replace(one, ranks=ranks, shard=shard) for one in made]  # type: ignore[arg-type]


@pytest.fixture
def cache(ready: Prepared) -> Iterator[WorkerCache]:
    yield from _cache(ready)


def _cache(ready: Prepared, lock: Lock | None = None) -> Iterator[WorkerCache]:
    """A process's state; its other ranks end with it, and threads are set back."""
    threads = torch.get_num_threads()
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0)
    if lock is not None:
        shipment = dataclasses.replace(shipment, results=lock.folder.root, run=lock.token)
    made = WorkerCache(shipment, Share())
    yield made
    made.close()
    torch.set_num_threads(threads)


def children(cache: WorkerCache) -> list[Any]:
    assert isinstance(cache.followers, LocalFollowers)
    return cache.followers._children


@pytest.mark.slow
def test_rows_are_those_of_one_rank_but_for_what_it_took(ready: Prepared, cache: WorkerCache) -> None:
    """And the other ranks are kept for the next pack, whose seeds they train in turn."""
    (alone,) = PackRun(cache, Pack(tuple(trials(ready, "lora", 1)))).finish()
    (record,) = PackRun(cache, Pack(tuple(trials(ready, "lora")))).finish()
    assert record.trial["status"] == "ok"
    assert (alone.trial["ranks"], record.trial["ranks"]) == (1, 2)
    for key in ("score", "score_last", "select_score"):
        assert record.trial[key] == pytest.approx(alone.trial[key], abs=1e-6)
    for key in ("steps", "examples", "tokens", "train_flops", "trainable_params", "delta_bytes", "n_fit"):
        assert record.trial[key] == alone.trial[key]
    assert record.trial["peak_memory_bytes"] > 0
    first = [child.pid for child in children(cache)]
    assert len(first) == 1
    search = [dataclasses.replace(one, stage="search") for one in trials(ready, "full", seeds=2)]
    pruned = PackRun(cache, Pack(tuple(search), rungs=True))
    rung = pruned.advance()
    assert rung is not None
    pruned.close()  # its search stops it
    again = PackRun(cache, Pack(tuple(search), rungs=True))
    assert again.advance() == rung
    assert [one.trial["status"] for one in again.finish()] == ["ok", "ok"]
    assert [child.pid for child in children(cache)] == first


@pytest.mark.slow
@pytest.mark.parametrize("shard", ["none", "full"])
def test_a_trial_that_is_stopped_goes_on_bit_by_bit(
    ready: Prepared, lock: Lock, cache: WorkerCache, shard: str
) -> None:
    (trial,) = trials(ready, "full", shard=shard)
    whole = science(PackRun(cache, Pack((trial,))).finish()[0])
    for stopping in _cache(ready, lock):
        run = PackRun(stopping, Pack((trial,)))
        stopping.watch.asked = lambda run=run: run.members[0].progress.steps >= 3  # type: ignore[misc]
        while run.advance() is not None:
            pass
        assert run.stopped
        assert stopping.followers is not None
        assert stopping.followers.gone() is None  # they have stopped too, in good order
    for going_on in _cache(ready, lock):
        run = PackRun(going_on, Pack((trial,)))
        (record,) = run.finish()
        assert run.notes() == [f"{trial.id}: goes on at step 3 of 6"]
        assert science(record) == whole


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_trial_as_lost_and_the_next_pack_has_another(
    ready: Prepared, cache: WorkerCache
) -> None:
    run = PackRun(cache, Pack(tuple(trials(ready, "full"))))
    assert run.advance() is not None
    children(cache)[0].kill()
    while run.advance() is not None:
        pass
    assert run.lost is not None
    assert "rank 1 has ended" in run.lost
    assert run.ended() == []  # no row: the trial runs again
    with pytest.raises(DeviceLost, match="rank 1 has ended"):
        run.check_device()
    (record,) = PackRun(cache, Pack(tuple(trials(ready, "full")))).finish()
    assert record.trial["status"] == "ok"


@pytest.mark.slow
@pytest.mark.usefixtures("plugins_go")
def test_memory_that_runs_out_on_one_rank_is_told_as_that(ready: Prepared, cache: WorkerCache) -> None:
    from finebench.bench.util.doors import load_plugin, plugins

    load_plugin(Plugin("fails.py", FAILS))
    cache.shipment = dataclasses.replace(cache.shipment, plugins=plugins())
    (full,) = trials(ready, "full")
    failing = dataclasses.replace(full, method="fails", hyperparameters={"lr": 1e-3})
    (record,) = PackRun(cache, Pack((failing,))).finish()
    assert record.trial["status"] == "oom"
    assert record.trial["reason"].startswith("rank 1: MemoryError: no room here")
    (record,) = PackRun(cache, Pack((full,))).finish()
    assert record.trial["status"] == "ok"


def test_a_rank_that_has_ended_by_itself_is_started_anew(
    ready: Prepared, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = "import pickle, sys; pickle.load(sys.stdin.buffer)"
    monkeypatch.setattr(own_python, "run_module", lambda module: [sys.executable, "-c", ends])
    cache.followers = LocalFollowers(cache.shipment, cache.share)
    orders = Orders(cache.share, (), False, None, 2, "127.0.0.1", 1, False)
    cache.followers.follow(orders)
    (first,) = children(cache)
    first.wait(60)
    cache.followers.follow(orders)
    (second,) = children(cache)
    assert second.pid != first.pid


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        ("[gloo/tcp] Connection closed by peer", "while its speed was measured: rank 1 has ended"),
        ("no room", "no room"),
    ],
)
def test_a_rank_lost_while_speed_is_measured_ends_that_process(
    ready: Prepared, cache: WorkerCache, monkeypatch: pytest.MonkeyPatch, error: str, raised: str
) -> None:
    """So that it is measured elsewhere; what fails of itself does so there too, and is told as it is."""

    def fails(*unused: object) -> float:
        raise RuntimeError(error)

    ended = []
    monkeypatch.setattr(pack_runner, "_rate", fails)
    cache.followers = SimpleNamespace(end=lambda: ended.append(1))  # type: ignore[assignment]
    store: Any = SimpleNamespace(check=lambda keys: False)
    ranks = Ranks(0, 2, store, None, lambda: "rank 1 has ended (-9)")
    (trial,) = trials(ready, "full")
    with pytest.raises(DeviceLost if "gloo" in error else RuntimeError, match=raised):
        calibrate(cache, trial, ranks)
    assert ended == [1]


@pytest.mark.slow
def test_a_speed_is_measured_on_all_ranks(ready: Prepared, cache: WorkerCache) -> None:
    (trial,) = trials(ready, "lora")
    assert calibrate(cache, trial) > 0
    assert PackRun(cache, Pack((trial,))).finish()[0].trial["status"] == "ok"
