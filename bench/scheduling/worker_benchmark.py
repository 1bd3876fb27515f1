"""Measurements that a worker makes for its driver: a shape's speed, and seconds per step of growing packs.

Packs are timed through `PackRun`, as they will train, with copies of one trial under other seeds. What is not a step is
kept small: two evaluations on a few rows, and neither rows nor checkpoints.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from finebench.bench.data.rows import Split
from finebench.bench.data.splits import Draw
from finebench.bench.data.task_data import TaskData
from finebench.bench.data.tokenize import Tokens
from finebench.bench.scheduling.pack_benchmark import STEPS, Timing, measure
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.worker.checkpoint_policy import Watch
from finebench.bench.training.worker.messages import Pack, own_bytes
from finebench.bench.training.worker.pack_runner import PackRun, calibrate
from finebench.bench.training.worker.worker_cache import WorkerCache

EVALUATED = 32
"""Rows of `select` and of `score` on which a timed pack is evaluated."""
HARMLESS = 1e-6
"""Learning rate of timed trials: no speed depends on it, and none of them diverges."""


def measure_for(what: str, cache: WorkerCache, trial: Trial) -> dict[str, Any]:
    """What a worker reports of a measurement: `rate` (steps per second), or `figures` [[size, seconds, peak bytes]]."""
    if what == "rate":
        return {"rate": calibrate(cache, trial)}
    brief = _Brief(cache, trial)
    found = measure(lambda size: time_pack(brief, trial, size), _memory(cache))
    return {"figures": [[size, one.seconds, one.peak] for size, one in found.items()]}


def time_pack(cache: WorkerCache, trial: Trial, size: int, clock: Callable[[], float] = time.perf_counter) -> Timing:
    """Train copies of a trial together for STEPS steps, after as many unmeasured ones.

    Raises MemoryError where they do not fit, DeviceLost where they take the GPU with them, RuntimeError where one
    of them fails in another way.
    """
    run = PackRun(cache, Pack(tuple(_copies(trial, size))))
    try:
        _evaluate_all(run, 1)
        begin = clock()
        _evaluate_all(run, 2)
        seconds = clock() - begin
        peak = torch.cuda.max_memory_reserved(cache.device) if cache.device.type == "cuda" else None
        ended = [record.trial for record in run.ended()]
    finally:
        run.close()
    run.check_device()
    if any(row["status"] == "oom" for row in ended):
        raise MemoryError(f"{size} trials together ran out of memory")
    if ended:
        raise RuntimeError(next((row["reason"] for row in ended if row["reason"]), "the timed trials ended early"))
    return Timing(seconds / STEPS, peak)


def _evaluate_all(run: PackRun, times: int) -> None:
    """Train until every member has been evaluated so often, or one has ended."""
    while any(len(one.progress.evaluations) < times for one in run.members):
        if run.advance() is None or any(one.finished for one in run.members):
            return


def _copies(trial: Trial, size: int) -> list[Trial]:
    training = trial.training.model_copy(update={"evals": 3})  # the last of them is not timed: there trials end
    point = dict(trial.hyperparameters) | {"lr": HARMLESS}
    timed = replace(trial, hyperparameters=point, budget=Budget(steps=3 * STEPS), training=training)
    return [replace(timed, stage="grid", seeds=Seeds.paired(seed)) for seed in range(1, size + 1)]


def _memory(cache: WorkerCache) -> int | None:
    """Bytes that this process may use of its GPU."""
    if cache.device.type != "cuda":
        return None
    total = torch.cuda.get_device_properties(cache.device).total_memory
    return own_bytes(total, cache.share.gpu)


class _Brief(WorkerCache):
    """A process's worker cache with little to evaluate on, and no results folder."""

    def __init__(self, whole: WorkerCache, trial: Trial) -> None:
        vars(self).update(vars(whole))
        task = whole.shipment.tasks[trial.task.name]
        few = Split(tuple(column[:EVALUATED] for column in task.score.texts), task.score.labels[:EVALUATED])
        tasks = {trial.task.name: replace(task, score=few)}
        self.whole, self.shipment = whole, replace(whole.shipment, tasks=tasks, run="", keep="none")
        self.watch = Watch(self.shipment)

    def tokens(self, task: TaskData, split: str, max_length: int) -> Tokens:
        """All of the split's: rows are counted from its start, and what is tokenised is kept."""
        return self.whole.tokens(self.whole.shipment.tasks[task.task.name], split, max_length)

    def draw(self, trial: Trial) -> Draw:
        """As ever, less most of `select`."""
        rows = super().draw(trial)
        return replace(rows, select=rows.select[:EVALUATED])
