"""Results folders of any size, made by the schema alone, in a few large files as a compacted folder has them.

Four methods × three tasks × three fractions × learning rates × seeds. Scores are those of the predictions, where there
are any, so that the report can resample them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from finebench.analysis.statistics.resample import measured
from finebench.bench.metrics import METRICS
from finebench.bench.results.schema import TABLES
from tests.analysis.fixtures import BUDGET, START

METHODS = {"all": 109_000_000, "few": 104_450, "some": 896_066, "least": 1_538}
TASKS = {"cola": "mcc", "mrpc": "f1", "stsb": "spearman"}
FRACTIONS = (0.1, 0.3, 1.0)
ROWS_PER_FILE = 2_000_000


def make(path: Path, trials: int, predictions: int = 0, evals: int = 0, rates: int = 4, seed: int = 0) -> int:
    """Write about `trials` trials with `predictions` scored examples and `evals` evaluations each; returns how many."""
    seeds = max(1, round(trials / (len(METHODS) * len(TASKS) * len(FRACTIONS) * rates)))
    lrs = np.geomspace(1e-5, 1e-2, rates).tolist()
    rng = np.random.default_rng(seed)
    at = np.stack(np.meshgrid(*map(np.arange, (3, 3, 4, rates, seeds)), indexing="ij")).reshape(5, -1)
    count = at.shape[1]
    task, fraction, method, lr, _ = at
    scores = 0.8 + 0.05 * np.log10(np.array(FRACTIONS))[fraction] - 0.02 * method - 0.01 * lr
    scores = scores + 0.02 * rng.normal(size=count)
    ids = np.array([f"{i:020x}" for i in range(count)])
    if predictions:
        scores = _predictions(path, ids, task, scores, predictions, rng)
    _trials(path, ids, at, scores, lrs, rng)
    if evals:
        _evals(path, ids, task, scores, evals)
    methods: dict[str, Any] = {name: {"lr": lrs} for name in METHODS}
    claims = [
        {"id": f"{name}-matches", "says": "matches", "a": name, "b": "all", "margin": 0.01}
        for name in list(METHODS)[1:]
    ]
    study = {"name": "made", "model": "tiny", "tasks": list(TASKS), "methods": methods, "fractions": list(FRACTIONS)}
    study |= {"seeds": seeds, "budget": [{"epochs": 3.0, "min_steps": 200}], "claims": claims}
    (path / "study.yaml").write_text(json.dumps(study), "utf-8")
    return count


def _write(path: Path, table: str, number: int, columns: dict[str, Any]) -> None:
    schema = TABLES[table]
    size = len(next(iter(columns.values())))
    arrays = [
        pa.nulls(size, field.type) if columns.get(field.name) is None else pa.array(columns[field.name], field.type)
        for field in schema
    ]
    (path / table).mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), path / table / f"part-{number}.parquet")


def _trials(
    path: Path, ids: np.ndarray, at: np.ndarray, scores: np.ndarray, lrs: list[float], rng: np.random.Generator
) -> None:
    task, fraction, method, lr, number = at
    size = len(ids)

    def named(values: Any, index: np.ndarray) -> pa.Array:
        return pa.array(list(values)).take(pa.array(index))

    def same(value: Any) -> pa.Array:
        return pa.array([value]).take(pa.array(np.zeros(size, dtype=np.int64)))

    params = np.array(list(METHODS.values()))[method]
    seconds = 60 * np.array(FRACTIONS)[fraction] * np.exp(0.05 * rng.normal(size=size))
    when = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(size).astype("timedelta64[s]")
    columns: dict[str, Any] = {
        "trial_id": ids, "study": same("made"), "stage": same("grid"), "method": named(METHODS, method),
        "hyperparameters": named([json.dumps({"lr": value}) for value in lrs], lr), "model": same("tiny"),
        "task": named(TASKS, task), "fraction": np.array(FRACTIONS)[fraction],
        "n_fit": (7000 * np.array(FRACTIONS)[fraction]).astype(int), "n_select": np.full(size, 100),
        "seed": number + 1, "budget": same(BUDGET), "lr": np.array(lrs)[lr], "batch_size": np.full(size, 16),
        "status": same("ok"), "metric": named(TASKS.values(), task), "score": scores, "score_last": scores,
        "select_score": scores + 0.02 * rng.normal(size=size), "majority_score": np.zeros(size),
        "metrics": same("{}"), "trainable_params": params, "head_params": np.full(size, 1538),
        "total_params": np.full(size, 110_000_000), "delta_bytes": 4 * params, "steps": np.full(size, 200),
        "examples": np.full(size, 3200), "tokens": np.full(size, 64_000), "train_flops": np.full(size, 1e12),
        "train_seconds": seconds, "eval_seconds": np.full(size, 1.0), "startup_seconds": np.full(size, 0.5),
        "peak_memory_bytes": 1_000_000_000 + params, "pack_size": np.full(size, 1), "exclusive": np.full(size, True),
        "device": same("cpu"), "hostname": same("box"), "started_at": when, "finished_at": when,
        "versions": same('{"torch": "2.13.0"}'), "git_commit": same("abc1234"), "schema_version": np.full(size, 2),
    }  # fmt: skip
    _write(path, "trials", 0, columns)


def _predictions(
    path: Path, ids: np.ndarray, task: np.ndarray, levels: np.ndarray, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Write them, and return the scores that they give. All examples of a task are the same for every trial."""
    scores = np.empty(len(ids))
    block, part = max(1, ROWS_PER_FILE // n), 0
    for index, metric in enumerate(TASKS.values()):
        hard = rng.normal(size=n)
        labels = rng.uniform(0, 5, n).round(1) if metric == "spearman" else (rng.random(n) < 0.6).astype(float)
        mine = np.flatnonzero(task == index)
        for start in range(0, len(mine), block):
            rows = mine[start : start + block]
            noise = hard + 0.7 * rng.normal(size=(len(rows), n))
            if metric == "spearman":
                made = (labels + noise * (1.6 - levels[rows])[:, None]).astype(np.float32).astype(float)
            else:
                made = np.where(noise + 2.2 * levels[rows][:, None] > 0.5, labels, 1 - labels)
            scores[rows] = measured(METRICS[metric].weighted, labels, made)
            columns = {
                "trial_id": np.repeat(ids[rows], n), "example": np.tile(np.arange(n), len(rows)),
                "label": np.tile(labels, len(rows)), "prediction": made.ravel(),
                "probability": [[0.1, 0.9]] * made.size,
            }  # fmt: skip
            _write(path, "predictions", part, columns)
            part += 1
    return scores


def _evals(path: Path, ids: np.ndarray, task: np.ndarray, scores: np.ndarray, points: int) -> None:
    """Both splits at every point, as where `select` improves all the time: the most that a folder can hold."""
    steps = np.arange(1, points + 1) * (200 // points)
    share = 1 - np.exp(-steps / 60)
    values = (scores[:, None] * share).ravel()
    size, metrics = len(ids) * points, pa.array(list(TASKS.values()))
    for part, split in enumerate(("select", "score")):
        columns = {
            "trial_id": np.repeat(ids, points), "step": np.tile(steps, len(ids)),
            "examples": np.tile(16 * steps, len(ids)), "train_seconds": np.tile(0.05 * steps, len(ids)),
            "train_flops": np.tile(5e9 * steps, len(ids)), "split": np.full(size, split), "loss": np.full(size, 0.5),
            "metric": metrics.take(pa.array(np.repeat(task, points))), "value": values, "lr": np.full(size, 1e-4),
        }  # fmt: skip
        _write(path, "evals", part, columns)
