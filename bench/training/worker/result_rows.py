"""Turns what a trial came to into the rows of the results schema."""

import json
import math
import traceback
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from finebench.bench.data.task_data import TaskData
from finebench.bench.metrics import majority_score
from finebench.bench.results.record import Record
from finebench.bench.results.schema import EVALS, PREDICTIONS, SCHEMA_VERSION
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.evaluation import Evaluation, Predictions, Progress
from finebench.bench.training.measured import Measured
from finebench.bench.util import machine
from finebench.bench.util.errors import plain

LONGEST_REASON = 400
"""Characters of a row's reason: a line or two of a table, what was raised and where."""


def make_record(
    *,
    trial: Trial,
    study: str,
    status: str,
    reason: str | None,
    task: TaskData,
    progress: Progress,
    measured: Measured,
    majority: float,
    majority_select: float | None,
    device: str | None,
    started_at: datetime,
) -> Record:
    """One trial's rows. A diverged trial has no score of its own and chooses with the constant predictor's
    (`majority_select`); a failed one has neither. Of one that was trained in a pack, for a part of its steps at least,
    times, memory and energy are null: they cannot be told from its neighbours'."""
    metric = task.task.metric
    best, last = _scored(progress, status)
    select_score = best.select.metrics[metric] if best else None
    flops = measured.flops(progress.tokens, progress.squares, progress.examples) if measured.flops else None
    packed = measured.pack_size > 1
    row = {
        "trial_id": trial.id,
        "study": study,
        "stage": trial.stage,
        "method": trial.method,
        "hyperparameters": trial.configuration,
        "model": trial.model.name,
        "task": trial.task.name,
        "fraction": trial.fraction,
        "n_fit": measured.n_fit,
        "n_select": measured.n_select,
        "seed": trial.seeds.code,
        "budget": trial.budget.canonical,
        "lr": float(trial.hyperparameters["lr"]),
        "batch_size": trial.training.batch_size,
        "precision": trial.training.precision,
        "status": status,
        "reason": None if reason is None else plain(reason, LONGEST_REASON),
        "metric": metric,
        "score": _value(best.score if best else None, metric),
        "score_last": _value(last.score if last else None, metric),
        "select_score": majority_select if status == "diverged" else select_score,
        "majority_score": majority,
        "metrics": json.dumps(best.score.metrics, sort_keys=True) if best and best.score else None,
        "trainable_params": measured.trainable_params,
        "head_params": measured.head_params,
        "total_params": measured.total_params,
        "delta_bytes": measured.delta_bytes,
        "steps": progress.steps,
        "examples": progress.examples,
        "tokens": progress.tokens,
        "train_flops": flops,
        "train_seconds": None if packed else progress.train_seconds,
        "eval_seconds": None if packed else progress.eval_seconds,
        "startup_seconds": None if packed else measured.startup_seconds,
        "peak_memory_bytes": None if packed else measured.peak_memory_bytes,
        "peak_allocated_bytes": None if packed else measured.peak_allocated_bytes,
        "energy_joules": None if packed else measured.energy_joules,
        "pack_size": measured.pack_size,
        "ranks": trial.ranks,
        "exclusive": measured.alone and not packed,
        "device": device,
        "hostname": machine.hostname(),
        "started_at": started_at,
        "finished_at": datetime.now(UTC),
        "versions": json.dumps(machine.versions(), sort_keys=True),
        "git_commit": machine.git_commit(),
        "schema_version": SCHEMA_VERSION,
    }
    scored = best.score if best else None
    predictions = _predictions(trial.id, task, scored) if scored else PREDICTIONS.empty_table()
    return Record(row, _evals(trial.id, metric, progress, packed), predictions)


def _scored(progress: Progress, status: str) -> tuple[Evaluation | None, Evaluation | None]:
    """The chosen and the last evaluation; both None where the trial has no score (diverged, failed)."""
    if status not in ("ok", "pruned") or not progress.evaluations:
        return None, None
    return progress.best, progress.evaluations[-1]


def _value(predictions: Predictions | None, metric: str) -> float | None:
    return None if predictions is None else predictions.metrics[metric]


def _evals(trial_id: str, metric: str, progress: Progress, packed: bool) -> pa.Table:
    rows: list[dict[str, Any]] = []
    for one in progress.evaluations:
        for split, found in (("select", one.select), ("score", one.score)):
            if found is not None:
                rows.append(
                    {
                        "trial_id": trial_id,
                        "step": one.step,
                        "examples": one.examples,
                        "train_seconds": None if packed else one.train_seconds,
                        "train_flops": one.train_flops,
                        "split": split,
                        "loss": found.loss if math.isfinite(found.loss) else None,
                        "metric": metric,
                        "value": found.metrics[metric],
                        "lr": one.lr,
                    }
                )
    return pa.Table.from_pylist(rows, schema=EVALS)


def _predictions(trial_id: str, task: TaskData, scored: Predictions) -> pa.Table:
    n = len(scored.values)
    columns = [
        pa.array([trial_id] * n, pa.string()),
        pa.array(np.arange(n, dtype=np.int64)),
        pa.array(task.score.labels.astype(np.float64)),
        pa.array(scored.values.astype(np.float64)),
        _probability(scored),
    ]
    return pa.Table.from_arrays(columns, schema=PREDICTIONS)


def _probability(scored: Predictions) -> pa.Array:
    """A list for each row: the probability of every class; nulls for regression."""
    found, kind = scored.probability, PREDICTIONS.field("probability").type
    if found is None:
        return pa.nulls(len(scored.values), kind)
    offsets = np.arange(len(found) + 1, dtype=np.int32) * found.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(found.ravel(), pa.float32())).cast(kind)


def one_line(error: BaseException) -> str:
    """Exception and innermost place in one line, as a row's reason has it."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {plain(str(error))}{where}"


def lost_record(trial: Trial, study: str, task: TaskData, status: str, reason: str, host: str | None = None) -> Record:
    """The row of a trial whose worker was lost, on `host` (None: not known), before it could report."""
    now = datetime.now(UTC)
    made = make_record(
        trial=trial,
        study=study,
        status=status,
        reason=reason,
        task=task,
        progress=Progress(),
        measured=Measured(),
        majority=majority_score(task.task.metrics, task.train.labels, task.score.labels),
        majority_select=None,
        device=None,
        started_at=now,
    )
    return replace(made, trial=made.trial | {"hostname": host})
