"""Cached features in the worker: computed once, reused bit for bit, charged to whoever uses them."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from finebench.bench.data.tokenize import Tokens
from finebench.bench.driver.validate import Prepared
from finebench.bench.methods import method
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.frozen_encoder import Apart
from finebench.bench.study.estimate import Size, estimate
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.feature_cache import Features, FeatureStore, compute, rows_digest
from finebench.bench.training.worker.pack_runner import calibrate
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.bench.tiny import tiny_prepared
from tests.bench.training.worker.test_pack_runner import finish, make_cache, make_trials, science


@pytest.fixture(scope="module")
def ready() -> Prepared:
    return tiny_prepared(methods={"head": {"lr": [1e-2, 1e-3]}}, tasks=["mini-stsb"], fractions=[0.05, 0.1])


@pytest.fixture
def cache(ready: Prepared) -> Iterator[WorkerCache]:
    threads = torch.get_num_threads()
    yield make_cache(ready)
    torch.set_num_threads(threads)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that encoders have read since the test began, batch by batch."""
    seen: list[int] = []
    real = Apart.read

    def counting(self: Apart, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        seen.append(len(batch["input_ids"]))
        return real(self, batch)

    monkeypatch.setattr(Apart, "read", counting)
    return seen


def with_lr(trial: Trial, lr: float) -> Trial:
    return dataclasses.replace(trial, hyperparameters={**trial.hyperparameters, "lr": lr})


def test_features_are_the_same_bits_whatever_ran_before(ready: Prepared, cache: WorkerCache, reads: list[int]) -> None:
    """Other fractions share rows with this one, and still do not lend it their features."""
    small, large = make_trials(ready)[:2]
    assert small.fraction < large.fraction
    fresh = science(finish(make_cache(ready), small)[0])
    finish(cache, large)
    reads.clear()
    assert science(finish(cache, small)[0]) == fresh
    fit, select = fresh[0]["n_fit"], fresh[0]["n_select"]
    assert sum(reads) == fit + select  # the score split has been read for the other trial


def test_another_learning_rate_and_head_seed_reuse_them(ready: Prepared, cache: WorkerCache, reads: list[int]) -> None:
    """And pay for them all the same."""
    trial = make_trials(ready)[0]
    first = finish(cache, trial)[0]
    reads.clear()
    seeds = dataclasses.replace(trial.seeds, init=9, order=9)
    other = dataclasses.replace(with_lr(trial, 1e-3), seeds=seeds)
    second = finish(cache, other)[0]
    assert reads == []
    assert science(second) == science(finish(make_cache(ready), other)[0])
    kept = [one.seconds for one in cache.features._kept.values()]
    assert len(kept) == 3
    for record in (first, second):
        assert record.trial["train_seconds"] + record.trial["eval_seconds"] > sum(kept)
    assert second.trial["train_flops"] == pytest.approx(first.trial["train_flops"], rel=1e-12)


def test_a_trial_pays_once_also_where_it_goes_on(ready: Prepared, cache: WorkerCache) -> None:
    from finebench.bench.training.evaluation import Progress
    from finebench.bench.training.linear_probe import charge
    from finebench.bench.training.worker.make_job import on_stored_features
    from finebench.bench.training.worker.trial_runner import Member

    member = Member(make_trials(ready)[0], cache, None)
    job, _ = on_stored_features(member.trial, member.cache, *member.make_job())
    new, resumed = Progress(), Progress(steps=3, train_seconds=5.0)
    charge(job, new)
    charge(job, resumed)
    assert isinstance(job.fit.tokens, Features)
    assert new.train_seconds == job.fit.tokens.seconds > 0
    assert new.eval_seconds > 0
    assert (resumed.train_seconds, resumed.eval_seconds) == (5.0, 0.0)


def test_the_time_limit_holds_while_features_are_computed(ready: Prepared) -> None:
    row = finish(make_cache(ready, timeout=0.0), make_trials(ready)[0])[0].trial
    assert row["status"] == "timeout"
    assert "while features were computed" in row["reason"]


def test_flops_are_one_pass_over_fit_and_the_heads_own_steps(ready: Prepared, cache: WorkerCache) -> None:
    trial = make_trials(ready)[0]
    row = finish(cache, trial)[0].trial
    task = ready.tasks[trial.task.name]
    lengths = cache.tokens(task, "train", trial.training.max_length).lengths[cache.draw(trial).fit]
    found = method_cost.head_flops(method("head")(), cache.architecture, task.num_labels)
    assert found is not None
    once = found.features(int(lengths.sum()), int((lengths**2).sum()), len(lengths))
    assert row["train_flops"] == once + found.step.example * row["examples"]


def test_a_flop_budget_is_kept(ready: Prepared, cache: WorkerCache) -> None:
    trial = make_trials(ready)[0]
    row = finish(cache, trial)[0].trial
    once, step = row["train_flops"], 0.0
    found = method_cost.head_flops(method("head")(), cache.architecture, 1)
    assert found is not None
    step = found.step.example * trial.training.batch_size
    once -= found.step.example * row["examples"]
    for budget, steps in ((once + 10.5 * step, 10), (once / 2, 1)):
        limited = dataclasses.replace(trial, budget=Budget(flops=budget))
        again = finish(cache, limited)[0].trial
        assert again["steps"] == steps


def test_a_seconds_budget_pays_for_its_features(ready: Prepared, cache: WorkerCache) -> None:
    trial = make_trials(ready)[0]
    rates = {s: calibrate(cache, dataclasses.replace(trial, budget=Budget(seconds=s))) for s in (1e-6, 1e6)}
    assert rates[1e-6] * 1e-6 == 1.0  # no time is left beside the features: one step
    assert rates[1e6] > 1
    assert finish(cache, trial)[0].trial["status"] == "ok"


def test_the_plan_says_what_is_counted(ready: Prepared, cache: WorkerCache) -> None:
    """With the tokens that the task really has, the estimate is the trial's own sum."""
    trial = make_trials(ready)[0]
    task = ready.tasks[trial.task.name]
    lengths = cache.tokens(task, "train", trial.training.max_length).lengths
    size = Size(len(lengths), len(task.score.labels), lengths.mean(), (lengths**2).mean(), task.num_labels)
    cell = next(iter(ready.plan.cells()))
    row = finish(cache, trial)[0].trial
    planned = estimate(ready.plan, cell, cache.architecture, size)
    n_fit = round(cell.fraction * size.train * (1 - ready.study.select.fraction))
    assert planned.train_flops / n_fit == pytest.approx(row["train_flops"] / row["n_fit"], rel=0.05)
    passes = planned.eval_flops / (planned.train_flops / n_fit) / (50 + size.score)
    assert passes == pytest.approx(1, rel=0.1)


def tokens_of(rows: int) -> Tokens:
    return Tokens(np.zeros(2 * rows, np.int32), np.arange(0, 2 * rows + 1, 2), None)


def features_of(rows: int, width: int = 4) -> Features:
    def read(picked: Any) -> torch.Tensor:
        return torch.from_numpy(picked).to(torch.bfloat16)[:, None].repeat(1, width)

    return compute(read, tokens_of(rows), np.arange(rows), 8)


def test_features_are_float32_and_found_by_row() -> None:
    found = features_of(20)
    assert found.values.dtype == torch.float32
    batch = found.batch(np.array([7, 3]), pad_id=0)
    assert batch["inputs_embeds"].tolist() == [[[7.0] * 4], [[3.0] * 4]]
    assert (batch["input_ids"] != 0).all()
    with pytest.raises(ValueError, match="no rows"):
        compute(lambda rows: torch.zeros(0), tokens_of(3), np.arange(0), 8)


def test_the_store_drops_what_was_used_least_recently_and_stays_within_its_bytes() -> None:
    one = features_of(10)
    size = one.values.nbytes + one.places.nbytes
    store, made = FeatureStore(limit=2 * size), []

    def ask(key: str, rows: int = 10) -> Features:
        return store.get(key, lambda: made.append(key) or features_of(rows))  # type: ignore[func-returns-value]

    for key in "abacabb":
        ask(key)
    assert made == ["a", "b", "c", "b"]
    ask("huge", rows=100)
    ask("b")
    ask("huge", rows=100)
    assert made[4:] == ["huge", "huge"]


def test_the_digest_tells_rows_and_their_order_apart() -> None:
    rows = [np.array(one) for one in ([1, 2], [2, 1], [1], [1, 2, 3])]
    assert len({rows_digest(one) for one in rows}) == 4
