"""Results folders made without training, and what every reader of ours sees in them."""

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from finebench.analysis.load.read import load_results
from finebench.bench.results.folder import ResultsFolder, Stock
from finebench.bench.results.record import Record, record_name
from finebench.bench.results.schema import EVALS, PREDICTIONS, SCHEMA_VERSION, TRIALS

START = datetime(2025, 3, 1, tzinfo=UTC)
EXAMPLES = 5


def trial_id(number: int) -> str:
    """An id as long as real ones."""
    return hashlib.blake2b(str(number).encode(), digest_size=10).hexdigest()


def make_record(number: int, status: str = "ok", score: float | None = None, hours: int = 0) -> Record:
    """One trial with two evaluations and a few predictions, all of which tell its number."""
    text = {"study": "stored", "stage": "search" if status == "pruned" else "grid", "method": "one", "model": "tiny"}
    row: dict[str, Any] = {field.name: None for field in TRIALS} | text
    row |= {"trial_id": trial_id(number), "task": "alpha", "metric": "accuracy", "hyperparameters": '{"lr": 0.1}'}
    row |= {"fraction": 1.0, "seed": number + 1, "budget": '{"steps": 10}', "lr": 0.1, "status": status}
    row |= {"score": number / 1000 if score is None else score, "select_score": 0.5, "steps": 10}
    row |= {"finished_at": START + timedelta(hours=hours, seconds=number), "schema_version": SCHEMA_VERSION}
    evals = [
        {"trial_id": row["trial_id"], "step": step, "examples": step, "split": "select", "metric": "accuracy",
         "value": number + step / 100}
        for step in (5, 10)
    ]  # fmt: skip
    scored = [
        {"trial_id": row["trial_id"], "example": i, "label": 1.0, "prediction": float(number)} for i in range(EXAMPLES)
    ]
    if status not in ("ok", "pruned"):
        row["score"], evals, scored = None, [], []
    tables = pa.Table.from_pylist(evals, schema=EVALS), pa.Table.from_pylist(scored, schema=PREDICTIONS)
    return Record(row, *tables)


def fill(path: Path, numbers: Iterable[int], status: str = "ok") -> ResultsFolder:
    """A folder with these trials, and a study and plan beside them."""
    folder = ResultsFolder(str(path))
    folder.create()
    for number in numbers:
        folder.write(make_record(number, status))
    if folder.read_bytes("study.yaml") is None:
        folder.write_bytes(
            "study.yaml", b"name: stored\ntasks: [mini-cola]\nmethods: {full: {lr: 0.1}}\nbudget: {steps: 10}\n"
        )
        cell = {"task": "alpha", "method": "one", "fraction": 1.0, "budget": '{"steps": 10}', "stage": "grid"}
        folder.write_json("plan.json", {"study": "stored", "cells": [cell | {"planned": 10_000, "configurations": 1}]})
    return folder


def take_stock(folder: ResultsFolder) -> Stock:
    """What a run finds in a folder as it starts; what is damaged is moved out of the way."""
    stock = folder.read_stock()
    folder.set_aside(stock)
    return stock


def seen(path: Path | str) -> dict[str, Any]:
    """What the driver's and the report's readers see: every record, what belongs to it, and each of them once."""
    folder = ResultsFolder(str(path))
    rows = list(folder.rows())
    names = [record_name(row["trial_id"], row["status"]) for row in rows]
    assert len(set(names)) == len(names), "a row twice"
    loaded = load_results(str(path))
    assert not loaded.damaged
    assert loaded.trials["trial_id"].is_unique
    assert not loaded.evals.duplicated(["trial_id", "step", "split"]).any()
    predictions: dict[str, list[float]] = {}
    for part in loaded.predictions():
        for one, block in part.groupby("trial_id"):
            assert one not in predictions, "predictions twice"
            assert sorted(block["example"]) == list(range(len(block)))
            predictions[str(one)] = list(block["prediction"])
    evals = {str(one): list(block["value"]) for one, block in loaded.evals.groupby("trial_id")}
    return {
        "rows": {name: (row["status"], row["score"]) for name, row in zip(names, rows, strict=True)},
        "report": json.loads(loaded.trials.set_index("trial_id")[["status", "score"]].to_json(orient="index")),
        "evals": evals,
        "predictions": predictions,
    }


def files(path: Path) -> int:
    """Number of Parquet files in the three tables."""
    return sum(1 for table in ("trials", "evals", "predictions") for _ in (path / table).glob("*.parquet"))
