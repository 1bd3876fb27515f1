"""What a trial costs that trains nothing, and whether that grows: the whole path, from the plan to the results.

    python -m tests.benchmarks.scale --trials 10000 [--search optuna] [--results FOLDER] [--profile FILE] [--grown]

Prints milliseconds per trial (overall, and over the first and the last tenth), and the driver's resident memory at ten
points in time. --results keeps the folder; --grown then also times what a user does with a folder of that size: status,
verify, report, a run that finds nothing to do, compact, and status and that run again.
"""

import argparse
import cProfile
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finebench.bench.cli.terminal.console import make_console
from finebench.bench.cli.terminal.progress import make_progress
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.load import build_study
from finebench.bench.study.schema import Study
from tests.benchmarks.machine import MIB, memory, sampled
from tests.benchmarks.noop import idle_workers

CELLS, RATES, CONFIGURATIONS, SEEDS = 20, 5, 10, 5
"""2 tasks × 5 methods × 2 fractions, 5 learning rates each; a search tries 10 configurations on 5 seeds at a time."""


def make_study(trials: int, search: str) -> Study:
    """A study of about `trials` trials (at least one seed of every point)."""
    rates = [1e-4 * (k + 1) for k in range(RATES)]
    given: Any = rates if search == "grid" else {"loguniform": [1e-5, 1e-2]}
    configurations = max(1, trials // (CELLS * SEEDS))
    raw = {
        "name": "scale",
        "tasks": ["mini-cola", "mini-mrpc"],
        "methods": {name: {"lr": given} for name in ("full", "bitfit", "adapter", "lora", "head")},
        "fractions": [0.5, 1.0],
        "seeds": max(1, trials // (CELLS * RATES)) if search == "grid" else 1,
        "budget": {"steps": 10},
        "search": "grid"
        if search == "grid"
        else {"optuna": {"trials": configurations, "seeds": SEEDS, "confirm_seeds": 0}},
    }
    return build_study(raw, "scale", Path("."))


@dataclass
class Clock(Observer):
    """When each row was stored, in seconds since the first worker started; passes everything on to the display."""

    inner: Observer
    begin: float = 0.0
    at: list[float] = field(default_factory=list)

    def on_start(self, pack: Any) -> None:
        """The clock starts with the first pack: Ray and its first worker are up."""
        self.begin = self.begin or time.monotonic()
        self.inner.on_start(pack)

    def on_row(self, row: dict[str, Any]) -> None:
        """Note the time."""
        self.at.append(time.monotonic() - self.begin)
        self.inner.on_row(row)

    def on_data(self, text: str) -> None:
        """Pass it on."""
        self.inner.on_data(text)

    def on_note(self, text: str) -> None:
        """Pass it on."""
        self.inner.on_note(text)

    def tick(self) -> None:
        """Pass it on."""
        self.inner.tick()

    def close(self) -> None:
        """Pass it on."""
        self.inner.close()


@dataclass(frozen=True)
class Scaled:
    """Seconds at which rows were stored; (seconds, bytes) of the driver's memory; seconds of the whole run."""

    at: list[float]
    memory: list[tuple[float, int]]
    seconds: float

    @property
    def per_trial(self) -> tuple[float, float, float]:
        """Seconds per trial: overall, in the first and in the last tenth of the trials."""
        n, tenth = len(self.at), max(2, len(self.at) // 10)
        first = (self.at[tenth - 1] - self.at[0]) / (tenth - 1)
        last = (self.at[-1] - self.at[-tenth]) / (tenth - 1)
        return self.at[-1] / n, first, last


def run_scale(study: Study, folder: Path) -> Scaled:
    """Run a study with workers that train nothing."""
    clocks: list[Clock] = []

    def observe(scheduler: Scheduler) -> Observer:
        clocks.append(Clock(make_progress(scheduler.plan, scheduler, make_console())))
        return clocks[0]

    begin = time.monotonic()
    with idle_workers(), sampled(memory) as seen:
        outcome = run_study(study, RunOptions(str(folder)), observe, lambda trial, reason, runs: None)
    if set(outcome.statuses) != {"ok"}:
        raise RuntimeError(f"trials that train nothing ended {outcome.statuses}: {outcome.failures[:1]}")
    return Scaled(clocks[0].at, seen, time.monotonic() - begin)


def grown(folder: Path) -> list[tuple[str, float]]:
    """Seconds that each command takes on a finished folder."""
    study = folder.parent / "study.yaml"
    study.write_bytes((folder / "study.yaml").read_bytes())
    again = ["run", str(study), "--results", str(folder)]
    commands = [["status"], ["verify"], ["report"], again, ["compact"], ["status"], again]
    timed = []
    for words in commands:
        begin = time.monotonic()
        line = [*words, *([str(folder)] if len(words) == 1 else [])]
        subprocess.run([sys.executable, "-m", "finebench", *line], check=True, stdout=subprocess.DEVNULL)
        timed.append((words[0], time.monotonic() - begin))
    return timed


def show(found: Scaled) -> None:
    """Print the figures."""
    overall, first, last = (1000 * seconds for seconds in found.per_trial)
    print(
        f"{len(found.at):,} trials in {found.seconds:.0f} s, {found.seconds - found.at[-1]:.1f} s of it start and end"
    )
    print(f"ms per trial: {overall:.1f}; first tenth {first:.1f}, last tenth {last:.1f}, ratio {last / first:.2f}")
    step = max(1, len(found.memory) // 10)
    shown = ", ".join(f"{size / MIB:.0f} at {at:.0f} s" for at, size in found.memory[::step])
    print(f"driver's resident memory, MiB: {shown}; peak {max(size for _, size in found.memory) / MIB:.0f}")


def main() -> None:
    """Run it, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--search", choices=["grid", "optuna"], default="grid")
    parser.add_argument("--results", type=Path, help="keep the results folder here [default: a temporary one]")
    parser.add_argument("--profile", type=Path, help="write the driver's cProfile statistics here")
    parser.add_argument("--grown", action="store_true", help="also time commands on the finished folder")
    asked = parser.parse_args()
    study = make_study(asked.trials, asked.search)
    with tempfile.TemporaryDirectory(prefix="finebench-scale-") as scratch:
        folder = asked.results or Path(scratch) / "results"
        profile = cProfile.Profile()
        found = profile.runcall(run_scale, study, folder) if asked.profile else run_scale(study, folder)
        if asked.profile:
            profile.dump_stats(asked.profile)
        show(found)
        if asked.grown:
            for name, seconds in grown(folder):
                print(f"finebench {name}: {seconds:.1f} s")


if __name__ == "__main__":
    main()
