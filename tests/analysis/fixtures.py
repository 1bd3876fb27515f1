"""Synthetic results folders, written by the schema alone: hand-made rows for exact tests, and whole drawn studies."""

import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ruamel.yaml import YAML

from finebench.bench.results.schema import SCHEMA_VERSION, TABLES

BUDGET = json.dumps({"epochs": 3.0, "min_steps": 200}, sort_keys=True)
START = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOSTILE = '=cmd|"/c"!A1 <script>alert(1)</script> | & % $ _ # { } \\ `x` </script>\n[y](z)'


@dataclass
class Folder:
    """Rows to be written; `add` returns a trial's id."""

    path: Path
    study: dict[str, Any]
    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {"trials": [], "evals": [], "predictions": []}
    )
    planned: list[dict[str, Any]] | None = None

    def add(self, **given: Any) -> str:
        """One trial; what is not given is filled in. `hp` holds hyperparameters other than lr."""
        row = _row(self.study, given, len(self.rows["trials"]))
        self.rows["trials"].append(row)
        return str(row["trial_id"])

    def curve(self, trial_id: str, points: Sequence[tuple[int, float, float | None]]) -> None:
        """Evaluations of a trial: (step, select value, score value or None)."""
        for step, select, score in points:
            for split, value in (("select", select), ("score", score)):
                if value is not None:
                    self.rows["evals"].append(_eval(trial_id, step, split, value))

    def predict(self, trial_id: str, predictions: Sequence[float]) -> None:
        """A trial's predictions; labels alternate."""
        for example, prediction in enumerate(predictions):
            row = {
                "trial_id": trial_id,
                "example": example,
                "label": float(example % 2),
                "prediction": float(prediction),
            }
            self.rows["predictions"].append(row | {"probability": [0.1, 0.9]})

    def plan(
        self, task: str, method: str, fraction: float, planned: int, configurations: int, stage: str = "grid"
    ) -> None:
        """Say what was planned of a cell."""
        cell = {"task": task, "method": method, "fraction": fraction, "budget": BUDGET, "stage": stage}
        self.planned = [*(self.planned or []), cell | {"planned": planned, "configurations": configurations}]

    def write(self) -> str:
        """Write everything, one file per trial and table, as the harness does."""
        for table, rows in self.rows.items():
            (self.path / table).mkdir(parents=True, exist_ok=True)
            by_trial: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                by_trial.setdefault(row["trial_id"], []).append(row)
            for trial_id, part in by_trial.items():
                write_rows(self.path / table / f"{trial_id}.parquet", table, part)
        text = io.StringIO()
        yaml = YAML(typ="safe", pure=True)
        yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        yaml.dump(self.study, text)
        (self.path / "study.yaml").write_text(text.getvalue(), "utf-8")
        if self.planned is not None:
            total = sum(cell["planned"] for cell in self.planned)
            plan = {"study": self.study["name"], "trials": total, "cells": self.planned}
            (self.path / "plan.json").write_text(json.dumps(plan), "utf-8")
        return str(self.path)


def write_rows(path: Path, table: str, rows: list[dict[str, Any]]) -> None:
    """One Parquet file of a schema's table."""
    pq.write_table(pa.Table.from_pylist(rows, schema=TABLES[table]), path)


def _row(study: dict[str, Any], given: dict[str, Any], number: int) -> dict[str, Any]:
    lr, hp = given.pop("lr", 1e-3), given.pop("hp", {})
    status = given.get("status", "ok")
    row: dict[str, Any] = {
        "study": study["name"], "stage": "grid", "method": "one", "model": study["model"], "task": "alpha",
        "fraction": 1.0, "n_fit": 900, "n_select": 100, "seed": 1, "budget": BUDGET, "lr": lr, "batch_size": 16,
        "status": status, "reason": None, "metric": "accuracy", "score": 0.8, "select_score": 0.8,
        "majority_score": 0.5, "trainable_params": 1000, "head_params": 100, "total_params": 100_000,
        "delta_bytes": 4000, "steps": 200, "examples": 3200, "tokens": 64_000, "train_flops": 1e12,
        "train_seconds": 10.0, "eval_seconds": 1.0, "startup_seconds": 0.5, "peak_memory_bytes": 2**30,
        "energy_joules": None, "pack_size": 1, "exclusive": True, "device": "cpu", "hostname": "box",
        "started_at": START, "finished_at": START + timedelta(seconds=number), "versions": '{"torch": "2.13.0"}',
        "git_commit": "abc1234", "schema_version": SCHEMA_VERSION,
        "hyperparameters": json.dumps({"lr": lr, **hp}, sort_keys=True),
    }  # fmt: skip
    if status != "ok":
        row |= {"score": None} | ({} if status in ("diverged", "pruned") else {"select_score": None})
    row |= given
    row["score_last"] = row["score"]
    row["metrics"] = json.dumps({row["metric"]: row["score"]})
    keys = ("task", "method", "fraction", "seed", "budget", "hyperparameters")
    content = json.dumps([row[key] for key in keys])
    return {"trial_id": hashlib.blake2b(content.encode(), digest_size=10).hexdigest()} | row


def _eval(trial_id: str, step: int, split: str, value: float) -> dict[str, Any]:
    row = {
        "trial_id": trial_id,
        "step": step,
        "examples": 16 * step,
        "train_seconds": 0.05 * step,
        "train_flops": 5e9 * step,
    }
    return row | {"split": split, "loss": 0.5, "metric": "accuracy", "value": value, "lr": 1e-4}


def empty(path: Path, **study: Any) -> Folder:
    """A folder with a study and no rows."""
    given = {
        "name": "small",
        "model": "tiny",
        "tasks": ["alpha"],
        "methods": {"one": {"lr": [1e-4, 1e-3]}},
        "fractions": [1.0],
        "seeds": 3,
    }
    return Folder(path, given | {"budget": [{"epochs": 3.0, "min_steps": 200}]} | study)


SCENE = {"strong": 0.02, "steady": 0.0, "shaky": -0.03, "flat": -0.4}
"""Methods of a drawn study, and how far they score from 0.85 with all data."""

PARAMS = {"strong": 109_483_778, "steady": 104_450, "shaky": 896_066, "flat": 1_538}


def draw(path: Path, seeds: int = 5, tasks: Sequence[str] = ("cola", "mrpc", "stsb"), curves: bool = True) -> Folder:
    """A whole study: four methods (one with two variants) × tasks × three fractions × three learning rates × seeds."""
    rng = np.random.default_rng(7)
    lrs = [1e-4, 3e-4, 1e-3]
    methods: dict[str, Any] = {name: {"lr": lrs} for name in SCENE}
    methods["shaky"]["shape"] = ["narrow", "wide"]
    folder = empty(path, name="drawn", tasks=list(tasks), methods=methods, fractions=[0.1, 0.3, 1.0], seeds=seeds)
    for task in tasks:
        for fraction in (0.1, 0.3, 1.0):
            for method in SCENE:
                points = [{"shape": shape} for shape in ("narrow", "wide")] if method == "shaky" else [{}]
                folder.plan(task, method, fraction, seeds * len(lrs) * len(points), len(lrs) * len(points))
                for lr in lrs:
                    for hp in points:
                        for seed in range(1, seeds + 1):
                            _draw_one(folder, rng, (task, fraction, method, lr, seed), hp, curves)
    return folder


def _draw_one(
    folder: Folder, rng: np.random.Generator, cell: tuple[str, float, str, float, int], hp: dict[str, str], curves: bool
) -> None:
    task, fraction, method, lr, seed = cell
    noise = 0.05 if method == "shaky" else 0.012
    best = 1e-4 if method == "strong" else 1e-3
    level = (
        0.85
        + SCENE[method]
        + 0.06 * np.log10(fraction)
        - 0.04 * abs(np.log10(lr / best))
        - 0.01 * (hp.get("shape") == "narrow")
    )
    score = float(max(0.5, level + noise * rng.normal()))
    status = "diverged" if method == "shaky" and lr == 1e-3 and seed == 2 and fraction == 0.1 else "ok"
    seconds = 60 * fraction * (1.0 if method == "strong" else 0.6) * float(np.exp(0.05 * rng.normal()))
    trial_id = folder.add(
        task=task, fraction=fraction, method=method, lr=lr, hp=hp, seed=seed, status=status,
        metric="mcc" if task == "cola" else "accuracy",
        score=None if status == "diverged" else score, select_score=float(score + 0.02 * rng.normal()),
        majority_score=0.5,
        trainable_params=PARAMS[method], head_params=1538, delta_bytes=4 * PARAMS[method], train_seconds=seconds,
        peak_memory_bytes=int(2e9 * (1 + (method == "strong"))), train_flops=1e15 * fraction,
        n_fit=int(7000 * fraction),
    )  # fmt: skip
    if curves and status == "ok":
        share = [(step, 1 - np.exp(-step / 60)) for step in range(20, 201, 20)]
        folder.curve(trial_id, [(step, 0.5 + (score - 0.5) * s, 0.5 + (score - 0.5) * s) for step, s in share])
