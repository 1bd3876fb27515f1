"""Finished results folders of any size whose trials are those of a study, so that `run` finds nothing to do in them.

    study, count = grow(Path("results"), trials=10_000, examples=1000)

Trials that train nothing are laid out by the study's own plan; scores are those of their predictions. All is written
as a run leaves it: segments, with what each holds.
"""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from finebench.analysis.statistics.resample import measured
from finebench.bench.data.facts import facts
from finebench.bench.driver.run import dump_study
from finebench.bench.driver.validate import Prepared, prepare
from finebench.bench.metrics import METRICS
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import write_segment
from finebench.bench.results.parquet_tables import Part
from finebench.bench.results.recompute_id import identity
from finebench.bench.results.schema import SCHEMA_VERSION, TABLES
from finebench.bench.study.load import build_study
from finebench.bench.study.trial_id import Trial
from finebench.bench.util.machine import versions

METHODS = ("full", "bitfit", "adapter", "lora", "head")
TASKS = {"mini-cola": "mcc", "mini-mrpc": "f1"}
RATES = 5
SHAPES = {1_000: (2, 10), 10_000: (5, 40), 100_000: (10, 200)}
"""Trials -> amounts of data and seeds: both grow."""

AT_ONCE = 2_000_000
"""Predictions made at a time."""

START = datetime(2025, 3, 1, tzinfo=UTC)


def study_file(trials: int) -> dict[str, Any]:
    """A study of as many trials (a key of SHAPES), as YAML has it."""
    fractions, seeds = SHAPES[trials]
    rates = [1e-4 * (k + 1) for k in range(RATES)]
    claims = [
        {"id": f"{name}-matches", "says": "matches", "a": name, "b": "full", "margin": 0.01} for name in METHODS[1:]
    ]
    return {
        "name": "grown",
        "tasks": list(TASKS),
        "methods": {name: {"lr": rates} for name in METHODS},
        "fractions": [round((k + 1) / fractions, 3) for k in range(fractions)],
        "seeds": seeds,
        "budget": {"steps": 10},
        "claims": claims,
    }


def grow(path: Path, trials: int, examples: int, evals: int = 5) -> Path:
    """Write a finished folder with `examples` predictions and `evals` evaluations of either split a trial; returns the
    study's file, which stands beside the folder."""
    file = path.parent / f"{path.name}.yaml"
    file.write_text(json.dumps(study_file(trials)))
    ready = prepare(build_study(study_file(trials), str(file), file.parent), None)
    folder = ResultsFolder(str(path))
    folder.create()
    folder.write_bytes("study.yaml", dump_study(ready.study).encode())
    inputs = {"data": None, "model_folder": str(ready.model.folder)}
    inputs |= {"tasks": {name: facts(found) for name, found in ready.tasks.items()}, "precision": ready.known.precision}
    inputs |= {"identities": [identity(ready.known, ready.study)], "parallel": {}, "looks": [], "asked": []}
    folder.write_json("plan.json", ready.plan.to_json() | inputs)
    for number, some in enumerate(_parts(ready, examples), start=1):
        records = frozenset(one.id for one in some)
        for table, rows in _tables(some, examples, evals, number).items():
            write_segment(folder, table, number, [Part("", rows, records)], False)
    return file


def _parts(ready: Prepared, examples: int) -> Iterator[list[Trial]]:
    """The plan's trials, as many at a time as memory has room for."""
    some: list[Trial] = []
    most = min(5_000, max(1, AT_ONCE // max(1, examples)))
    for trial in ready.plan.grid(ready.known):
        some.append(trial)
        if len(some) == most:
            yield some
            some = []
    if some:
        yield some


def _tables(trials: list[Trial], examples: int, evals: int, number: int) -> dict[str, pa.Table]:
    """The three tables of some trials."""
    rng = np.random.default_rng(number)
    level = np.array([0.8 - 0.02 * METHODS.index(one.method) + 0.05 * one.fraction for one in trials])
    level -= np.array([0.01 * abs(one.hyperparameters["lr"] - 2e-4) / 1e-4 for one in trials])
    scores, predictions = level + 0.02 * rng.normal(size=len(trials)), TABLES["predictions"].empty_table()
    if examples:
        scores, predictions = _predictions(trials, level, examples, rng)
    return {
        "predictions": predictions,
        "evals": _evals(trials, scores, evals),
        "trials": _rows(trials, scores, rng),
    }


def _table(name: str, columns: dict[str, Any], size: int) -> pa.Table:
    """A table of the schema; a value that is no array stands in every row, a column that is not given is null."""

    def column(field: pa.Field) -> pa.Array:
        given = columns.get(field.name)
        if given is None:
            return pa.nulls(size, field.type)
        if isinstance(given, np.ndarray | pa.Array | pa.ChunkedArray):
            return pa.array(given, field.type) if isinstance(given, np.ndarray) else given.cast(field.type)
        return pa.repeat(pa.scalar(given, field.type), size)

    schema = TABLES[name]
    return pa.Table.from_arrays([column(field) for field in schema], schema=schema)


def _ids(trials: list[Trial], each: int) -> pa.Array:
    return pa.array([one.id for one in trials]).take(pa.array(np.repeat(np.arange(len(trials)), each)))


def _predictions(
    trials: list[Trial], level: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, pa.Table]:
    """The scores that predictions of n examples give, and the predictions; a task's examples are the same for all."""
    made = np.empty((len(trials), n))
    labels, scores = np.empty_like(made), np.empty(len(trials))
    for index, (task, metric) in enumerate(TASKS.items()):
        mine = np.array([i for i, one in enumerate(trials) if one.task.name == task], dtype=int)
        fixed = np.random.default_rng(index)
        truth, hard = (fixed.random(n) < 0.6).astype(float), fixed.normal(size=n)
        noise = hard + 0.7 * rng.normal(size=(len(mine), n))
        made[mine] = np.where(noise + 2.2 * level[mine][:, None] > 0.5, truth, 1 - truth)
        labels[mine] = truth
        scores[mine] = measured(METRICS[metric].weighted, truth, made[mine])
    sure = rng.random(made.size, dtype=np.float32)
    pairs = pa.ListArray.from_arrays(
        pa.array(np.arange(0, 2 * made.size + 1, 2, dtype=np.int32)), pa.array(np.stack([1 - sure, sure], 1).ravel())
    )
    columns = {
        "trial_id": _ids(trials, n), "example": np.tile(np.arange(n), len(trials)), "label": labels.ravel(),
        "prediction": made.ravel(), "probability": pairs,
    }  # fmt: skip
    return scores, _table("predictions", columns, made.size)


def _evals(trials: list[Trial], scores: np.ndarray, points: int) -> pa.Table:
    """Both splits at every point, as where `select` improves all the time."""
    each, size = 2 * points, 2 * points * len(trials)
    steps = np.repeat(np.arange(1, points + 1) * 2, 2)
    metric = pa.array([TASKS[one.task.name] for one in trials])
    columns = {
        "trial_id": _ids(trials, each), "step": np.tile(steps, len(trials)),
        "examples": np.tile(16 * steps, len(trials)), "train_seconds": np.tile(0.05 * steps, len(trials)),
        "train_flops": np.tile(5e9 * steps, len(trials)),
        "split": pa.array(["select", "score"]).take(pa.array(np.tile([0, 1], points * len(trials)))),
        "loss": 0.5, "metric": metric.take(pa.array(np.repeat(np.arange(len(trials)), each))),
        "value": (scores[:, None] * (1 - np.exp(-steps / 3))).ravel(), "lr": 1e-4,
    }  # fmt: skip
    return _table("evals", columns, size)


def _rows(trials: list[Trial], scores: np.ndarray, rng: np.random.Generator) -> pa.Table:
    size, fraction = len(trials), np.array([one.fraction for one in trials])
    when = np.datetime64(START.replace(tzinfo=None), "us") + np.arange(size).astype("timedelta64[s]")

    def of(read: Callable[[Trial], Any]) -> pa.Array:
        return pa.array([read(one) for one in trials])

    columns = {
        "trial_id": of(lambda one: one.id), "study": "grown", "stage": "grid", "method": of(lambda one: one.method),
        "hyperparameters": of(lambda one: one.configuration), "model": trials[0].model.name,
        "task": of(lambda one: one.task.name), "fraction": fraction, "n_fit": (2160 * fraction).astype(int),
        "n_select": (240 * fraction).astype(int), "seed": of(lambda one: one.seeds.code),
        "budget": of(lambda one: one.budget.canonical), "lr": of(lambda one: one.hyperparameters["lr"]),
        "batch_size": 16, "status": "ok", "metric": of(lambda one: TASKS[one.task.name]), "score": scores,
        "score_last": scores, "select_score": scores + 0.02 * rng.normal(size=size), "majority_score": 0.0,
        "metrics": pa.array(
            [json.dumps({TASKS[one.task.name]: score}) for one, score in zip(trials, scores, strict=True)]
        ),
        "trainable_params": of(lambda one: 1000 * (1 + METHODS.index(one.method))), "head_params": 50,
        "total_params": 100_000, "delta_bytes": 4000, "steps": 10, "examples": 160, "tokens": 1600,
        "train_flops": 1e9, "train_seconds": np.exp(0.05 * rng.normal(size=size)), "eval_seconds": 0.1,
        "startup_seconds": 0.5, "peak_memory_bytes": 10**8, "pack_size": 1, "exclusive": True, "device": "cpu",
        "hostname": "box", "started_at": when, "finished_at": when, "versions": json.dumps(versions()),
        "git_commit": "abc1234", "schema_version": SCHEMA_VERSION,
    }  # fmt: skip
    return _table("trials", columns, size)
