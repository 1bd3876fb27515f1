"""A trial that is stopped and goes on ends with the bits of one that was not; what cannot be trusted is not used."""

import dataclasses
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch

from finebench.bench.driver.validate import Prepared
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import Lock
from finebench.bench.results.record import Record
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker import checkpoint_policy
from finebench.bench.training.worker.messages import Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util import machine
from tests.bench.tiny import run_tiny, tiny_prepared
from tests.bench.training.worker.test_pack_runner import finish, make_trials, science

METHODS: dict[str, Any] = {"full": {"lr": [1e-3]}, "lora": {"lr": [1e-2]}, "adapter": {"lr": [1e-2]}}
METHODS["head"] = {"lr": [1e-2]}  # on cached features
GROUPED: dict[str, Any] = {"lora_plus": {"lr": [1e-3]}, "layerwise": {"lr": [1e-3]}}
METHODS |= GROUPED  # parameters with learning rates of their own


@pytest.fixture(scope="module")
def ready() -> Prepared:
    return tiny_prepared(methods=METHODS, tasks=["mini-stsb"], fractions=[0.05], budget={"steps": 7})


@pytest.fixture
def lock(lock: Lock) -> Iterator[Lock]:
    """A results folder in a driver's hands; threads are set back afterwards."""
    threads = torch.get_num_threads()
    yield lock
    torch.set_num_threads(threads)


def cache(ready: Prepared, lock: Lock | None = None, **changes: Any) -> WorkerCache:
    """A fresh worker cache, with checkpoints where there is a lock."""
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=600.0)
    if lock is not None:
        shipment = dataclasses.replace(shipment, results=lock.folder.root, run=lock.token)
    return WorkerCache(dataclasses.replace(shipment, **changes), Share())


def stop_at(where: WorkerCache, step: int, *trials: Trial, fused: bool = False) -> PackRun:
    """Run a pack until its first member to get there has trained `step` steps."""
    run = PackRun(where, Pack(trials), fused=fused)
    where.watch.asked = lambda: any(member.progress.steps >= step for member in run.members)
    while run.advance() is not None:
        pass
    return run


def go_on(ready: Prepared, lock: Lock, *trials: Trial) -> tuple[list[Record], list[str]]:
    """Finish a pack in a fresh process state; also what was noted."""
    run = PackRun(cache(ready, lock), Pack(trials), fused=False)
    records = run.finish()
    assert not run.stopped
    return records, run.notes()


@pytest.mark.parametrize("method", METHODS)
def test_a_trial_stopped_after_every_step_is_bit_identical(ready: Prepared, lock: Lock, method: str) -> None:
    """Six interruptions in one trial: between evaluations, at them, in the first and in later epochs."""
    trial = next(t for t in make_trials(ready) if t.method == method)
    whole = science(finish(cache(ready), trial)[0])
    for step in range(1, 7):
        run = stop_at(cache(ready, lock), step, trial)
        assert run.stopped
        assert run.members[0].progress.steps == step
    (record,), notes = go_on(ready, lock, trial)
    assert notes == [f"{trial.id}: goes on at step 6 of 7"]
    assert science(record) == whole
    assert record.trial["status"] == "ok"


def test_a_pack_goes_on_with_every_member_where_it_was(ready: Prepared, lock: Lock) -> None:
    """Members of a pack are stopped at different steps, and still report their rungs together."""
    plan, (cell, *_) = ready.plan, list(ready.plan.cells())
    pair = [plan.trial(cell, "grid", plan.points(cell)[0], Seeds.paired(k), ready.known) for k in (1, 2)]
    whole = [science(record) for record in finish(cache(ready), *pair)]
    run = stop_at(cache(ready, lock), 4, *pair)
    assert [member.progress.steps for member in run.members] == [4, 4]
    again = PackRun(cache(ready, lock), Pack(tuple(pair)), fused=False)
    rungs = []
    while (rung := again.advance()) is not None:
        rungs.append((rung.index, rung.value))
    assert [index for index, _ in rungs] == [1, 2, 3]
    assert [science(record) for record in again.records()] == whole
    selects = [[r for r in record.evals.to_pylist() if r["split"] == "select"] for record in again.records()]
    assert [value for _, value in rungs] == [sum(r["value"] for r in pair) / 2 for pair in zip(*selects, strict=True)]


@pytest.mark.parametrize(
    ("method", "fused"),
    [
        ("lora_plus", True),
        ("layerwise", False),
        pytest.param("lora_plus", False, marks=pytest.mark.slow),
        pytest.param("layerwise", True, marks=pytest.mark.slow),
    ],
)
def test_a_pack_goes_on_with_learning_rates_of_parameters_own(
    ready: Prepared, lock: Lock, method: str, fused: bool
) -> None:
    """Taking turns and as one stacked model: half-way, and to the end, the bits of a run in one go."""
    plan = ready.plan
    cell = next(one for one in plan.cells() if one.method == method)
    pair = tuple(plan.trial(cell, "grid", plan.points(cell)[0], Seeds.paired(k), ready.known) for k in (1, 2))
    in_one_go = PackRun(cache(ready), Pack(pair), fused=fused)
    whole = [science(record) for record in in_one_go.finish()]
    assert [note for note in in_one_go.notes() if "in turn" in note] == []
    stopped = stop_at(cache(ready, lock), 4, *pair, fused=fused)
    assert stopped.stopped
    assert [member.progress.steps for member in stopped.members] == [4, 4]
    again = PackRun(cache(ready, lock), Pack(pair), fused=fused)
    assert [science(record) for record in again.finish()] == whole
    assert sum("goes on at step 4 of 7" in note for note in again.notes()) == 2


def test_times_and_the_start_are_those_of_all_parts_together(ready: Prepared, lock: Lock) -> None:
    """A resumed trial does not look cheaper than it was."""
    trial = make_trials(ready)[0]
    run = stop_at(cache(ready, lock), 5, trial)
    first = run.members[0]
    (record,), _ = go_on(ready, lock, trial)
    assert record.trial["train_seconds"] > first.progress.train_seconds > 0
    assert record.trial["startup_seconds"] > (first.measured.startup_seconds or 0) > 0
    assert record.trial["started_at"] == first.started_at
    assert record.trial["peak_memory_bytes"] >= (first.measured.peak_memory_bytes or 0) > 0


def test_a_time_limit_counts_all_parts(ready: Prepared, lock: Lock) -> None:
    """A trial cannot outlive its limit by being interrupted."""
    trial = make_trials(ready)[0]
    used = stop_at(cache(ready, lock), 5, trial).members[0].progress
    short = cache(ready, lock, timeout=(used.train_seconds + used.eval_seconds) * 0.9)
    record = finish(short, trial)[0]
    assert record.trial["status"] == "timeout"
    assert "at step 6 of 7" in record.trial["reason"]


def spoil(data: bytes, how: str) -> bytes:
    """A checkpoint that something has happened to."""
    if how == "truncated":
        return data[: len(data) // 2]
    if how == "empty":
        return b""
    if how == "foreign":
        return b"PK\x03\x04" + data[4:]
    at = len(data) * 2 // 3
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("how", ["truncated", "empty", "foreign", "one bit"])
def test_a_damaged_checkpoint_is_not_used(ready: Prepared, lock: Lock, how: str) -> None:
    """The trial starts anew, says so, and ends as it would have."""
    trial = make_trials(ready)[1]
    stop_at(cache(ready, lock), 5, trial)
    name = checkpoint_policy.file(trial.id)
    data = lock.folder.read_bytes(name)
    assert data is not None
    lock.folder.write_bytes(name, spoil(data, how))
    (record,), (note,) = go_on(ready, lock, trial)
    assert "starts anew: damaged" in note
    assert science(record) == science(finish(cache(ready), trial)[0])


def test_another_trials_checkpoint_and_another_versions_are_not_used(
    ready: Prepared, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Identity is what could change a bit: trial, training code, steps, packages, device, threads."""
    one, other = make_trials(ready)[1:3]
    stop_at(cache(ready, lock), 2, one)
    data = lock.folder.read_bytes(checkpoint_policy.file(one.id))
    assert data is not None
    lock.folder.write_bytes(checkpoint_policy.file(other.id), data)
    _, (note,) = go_on(ready, lock, other)
    assert "made by another run: trial_id differ" in note
    monkeypatch.setattr(machine, "versions", lambda: {"torch": "1.0"})
    _, (note,) = go_on(ready, lock, one)
    assert "made by another run: versions differ" in note


def test_short_trials_and_trials_without_a_folder_pay_nothing(ready: Prepared, lock: Lock) -> None:
    """Nothing is written before it is due, nor where the driver's token is not found."""
    trial = make_trials(ready)[0]
    finish(cache(ready, lock), trial)
    finish(cache(ready, lock, run="another driver's", checkpoint_seconds=0.0), trial)
    assert lock.folder.files(checkpoint_policy.FOLDER) == []
    finish(cache(ready, lock, checkpoint_seconds=0.0), trial)
    assert lock.folder.files(checkpoint_policy.FOLDER) == [f"{trial.id}.safetensors"]


def test_a_worker_whose_driver_was_replaced_writes_nothing_and_ends(ready: Prepared, lock: Lock) -> None:
    """The new driver's trial is not written over."""
    trial = make_trials(ready)[0]
    where = cache(ready, lock)
    run = PackRun(where, Pack((trial,)))
    run.advance()
    lock.folder.write_json("_driver.json", lock.folder.read_json("_driver.json") | {"token": "another"})
    where.watch._next = 0.0
    assert run.advance() is None
    assert run.stopped
    assert lock.folder.files(checkpoint_policy.FOLDER) == []


def test_a_checkpoint_that_cannot_be_written_ends_no_trial(
    ready: Prepared, lock: Lock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is noted, and the trial goes on."""

    def full(name: str, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    where = cache(ready, lock, checkpoint_seconds=0.0)
    assert where.watch.folder is not None
    monkeypatch.setattr(where.watch.folder, "write_bytes", full)
    run = PackRun(where, Pack((make_trials(ready)[0],)))
    while run.advance() is not None:
        pass
    assert run.records()[0].trial["status"] == "ok"
    assert "No space left" in run.notes()[0]


def test_checkpoints_go_when_rows_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a killed run has left is used or cleared; nothing is there once the study is through."""
    monkeypatch.setenv("FINEBENCH_CHECKPOINT_SECONDS", "0")
    run_tiny(tmp_path, limit=1)
    (done,) = ResultsFolder(str(tmp_path)).rows()
    folder = ResultsFolder(str(tmp_path))
    folder.write_bytes(
        checkpoint_policy.file(done["trial_id"]), b"left by a driver that died after the row was written"
    )
    folder.write_bytes("checkpoints/_half.safetensors.1f2e", b"left by a worker that died while it wrote")
    run_tiny(tmp_path)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("together", [1, 3])
def test_checkpoints_take_one_fiftieth_of_the_time_at_most(
    together: int, monkeypatch: pytest.MonkeyPatch, ready: Prepared, lock: Lock
) -> None:
    """Every so many seconds, and where writing one takes long, fifty times as long as that; members of a pack write
    theirs one after the other."""
    now = 100.0
    monkeypatch.setattr(checkpoint_policy.time, "monotonic", lambda: now)
    watch = cache(ready, lock, checkpoint_seconds=10.0).watch
    watch.begin()
    cost = 0.0

    def encode() -> bytes:
        nonlocal now
        now += cost
        return b"state"

    one = checkpoint_policy.TrialKeeper(watch, "id", encode, nullcontext, lambda text: None, together)

    def next_one() -> float:
        """Seconds from the end of a checkpoint to when the next one is due, to a tenth."""
        nonlocal now
        one.save()
        begin = now
        while not one.due():
            now += 0.1
        return now - begin

    assert next_one() == pytest.approx(10.0, abs=0.11)
    cost = 0.1
    assert next_one() == pytest.approx(max(10.0, 5.0 * together), abs=0.11)
    cost = 2.0
    assert next_one() == pytest.approx(100.0 * together, abs=0.11)
