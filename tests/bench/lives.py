"""Drivers that are started, killed and started again over one results folder, and how what they leave is compared."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from finebench.bench.results.folder import ResultsFolder

ROOT = Path(__file__).parent.parent.parent
CLOCKS = (
    *("train_seconds", "eval_seconds", "startup_seconds", "peak_memory_bytes", "started_at", "finished_at"),
    "exclusive",  # measured, and so whatever else this machine does
    "git_commit",  # a checkout may move on while a study is interrupted
)
PATIENCE = 1200.0
"""Seconds after which a driver counts as stuck; on a machine that is busy with other things one takes minutes."""


@dataclass(frozen=True)
class Damage:
    """How far a folder is from the one that an uninterrupted run made; all zero where it is its equal."""

    lost: int
    duplicated: int
    differing: int


def damage(interrupted: Path, whole: Path) -> Damage:
    """Trials missing, rows that stand twice in any table, trials that differ in any bit (clocks and memory apart)."""
    here, there = science(interrupted), science(whole)
    duplicated = 0
    for table in ("trials", "evals", "predictions"):
        keys = ["trial_id", *{"trials": ["status"], "evals": ["step", "split"], "predictions": ["example"]}[table]]
        rows = pa.concat_tables(pq.read_table(path, columns=keys) for path in files(interrupted, table)).to_pylist()
        duplicated += sum(count - 1 for count in Counter(tuple(row.values()) for row in rows).values())
    differing = sum(here[one] != there[one] for one in here.keys() & there.keys()) + len(here.keys() - there.keys())
    return Damage(len(there.keys() - here.keys()), duplicated, differing)


def files(folder: Path, table: str) -> list[Path]:
    """A table's finished files."""
    return [path for path in sorted((folder / table).glob("*.parquet")) if not path.name.startswith("_")]


def science(folder: Path) -> dict[str, Any]:
    """Each trial's row, evaluations and predictions, without what a clock or a memory counter says."""
    rows = {r["trial_id"]: {k: v for k, v in r.items() if k not in CLOCKS} for r in ResultsFolder(str(folder)).rows()}
    found: dict[str, list[Any]] = {one: [row] for one, row in rows.items()}
    for table in ("evals", "predictions"):
        of: dict[str, list[Any]] = {}
        for path in files(folder, table):  # of one trial, or of many that were merged into a segment
            content = pq.read_table(path)
            for row in content.drop_columns([name for name in content.column_names if name in CLOCKS]).to_pylist():
                of.setdefault(row["trial_id"], []).append(row)
        for one, kept in of.items():
            found.setdefault(one, []).append(kept)
    return found


class Life:
    """One driver process, from its start to its end."""

    def __init__(self, study: Path, results: Path, *arguments: str, **environment: str) -> None:
        command = [
            sys.executable,
            "-m",
            "finebench",
            "run",
            str(study),
            "--results",
            str(results),
            *arguments,
        ]
        env = os.environ | {"PYTHONPATH": str(ROOT), "FINEBENCH_CHECKPOINT_SECONDS": "0"} | environment
        self.results = results
        self.process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def wait_for_work(self, random_state: random.Random) -> None:
        """Return at a random moment: mostly while trials train, now and then while the driver starts."""
        if random_state.random() < 0.15:
            time.sleep(random_state.uniform(0, 4))
            return
        before = self._traces()
        self.wait(lambda: self._traces() != before)
        time.sleep(random_state.uniform(0, 0.7))

    def _traces(self) -> set[tuple[str, int]]:
        """Rows and checkpoints, by name and time."""
        found = set()
        for path in [*self.results.glob("trials/*"), *self.results.glob("checkpoints/*.safetensors")]:
            try:
                found.add((path.name, path.stat().st_mtime_ns))
            except FileNotFoundError:
                continue
        return found

    def wait(self, ready: Callable[[], object]) -> None:
        """Wait until something holds, or the driver has ended."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None and not ready():
            time.sleep(0.02)

    def below(self) -> list[psutil.Process]:
        """All processes that the driver has started."""
        try:
            return psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []

    def workers(self) -> list[psutil.Process]:
        """Those of them that train (Ray names a process after what its actor does)."""
        return [one for one in self.below() if title(one).startswith("ray::ResourceTrainable")]

    def send(self, number: signal.Signals) -> None:
        """Send the driver a signal, where it still runs."""
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Wait for its end; returns exit code and everything it said."""
        out, error = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out + error


def title(process: psutil.Process) -> str:
    """Its command line; nothing where it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def left_over(processes: list[psutil.Process], seconds: float = 30.0) -> list[str]:
    """Processes that still run after so many seconds: a driver's end must be the end of its Ray.

    One without a command line has ended, and waits to be scheduled or reaped for the last time.
    """
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return [name for name in map(title, alive) if name]
