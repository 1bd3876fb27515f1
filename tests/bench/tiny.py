"""Tiny studies on the embedded model, for tests that really train."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finebench.bench.driver.options import RunOptions, RunOutcome
from finebench.bench.driver.run import run_study
from finebench.bench.driver.validate import Prepared, prepare
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.load import build_study
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.study.schema import Study
from finebench.bench.training.worker.messages import Pack


def tiny_study(**changes: Any) -> Study:
    """A study of a few steps on the embedded model."""
    raw: dict[str, Any] = {
        "name": "tiny",
        "tasks": ["mini-cola"],
        "methods": {"full": {"lr": [1e-3]}, "bitfit": {"lr": [5e-3]}},
        "fractions": [0.1],
        "seeds": 1,
        "budget": {"steps": 6},
        "training": {"evals": 3, "batch_size": 8},
    }
    return build_study(raw | changes, "tiny.yaml", Path("."))


def tiny_prepared(**changes: Any) -> Prepared:
    """A tiny study with its inputs read."""
    return prepare(tiny_study(**changes), None)


def run_tiny(
    folder: Path, *, debug: bool = True, limit: int | None = None, why: Any = None, observer: Any = None, **changes: Any
) -> RunOutcome:
    """Run a tiny study into `folder`, in process unless told otherwise."""
    options = RunOptions(str(folder), debug=debug, limit=limit)
    observe = observer or (lambda scheduler: Observer())
    return run_study(tiny_study(**changes), options, observe, why or (lambda trial, reason, runs: None))


TIMES = {"train_seconds", "eval_seconds", "startup_seconds", "peak_memory_bytes", "started_at", "finished_at"}
TIMES |= {"exclusive"}  # measured, and so whatever else this machine does


def science(folder: Path) -> dict[str, dict[str, Any]]:
    """All rows without what a clock or a memory counter says."""
    rows = ResultsFolder(str(folder)).rows()
    return {row["trial_id"]: {k: v for k, v in row.items() if k not in TIMES} for row in rows}


def predictions(folder: Path) -> dict[str, bytes]:
    """Content of every predictions file."""
    return {path.name: path.read_bytes() for path in sorted((folder / "predictions").glob("*.parquet"))}


class CtrlC(Observer):
    """Presses Ctrl-C after the n-th evaluation of a run in this process, and keeps what the user is told."""

    def __init__(self, after: int) -> None:
        self.after, self.notes = after, list[str]()

    def on_note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def tick(self) -> None:
        """An evaluation has been made."""
        self.after -= 1
        if self.after == 0:
            os.kill(os.getpid(), signal.SIGINT)


def drain(scheduler: Scheduler) -> list[Pack]:
    """All packs of a scheduler that needs no results to go on."""
    packs = []
    while (pack := scheduler.next_pack()) is not None:
        packs.append(pack)
    return packs


def with_default(plan: Plan) -> Callable[[Cell, dict[str, Any]], list[dict[str, Any]]]:
    """What a confirm stage runs where no two configurations are one under different names."""
    return lambda cell, best: [best] if best == plan.default(cell) else [best, plan.default(cell)]
