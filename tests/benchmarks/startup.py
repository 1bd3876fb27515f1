"""How long the quick commands take, and a plan of a million trials: seconds and peak memory, each in its own process.

    python -m tests.benchmarks.startup [--repeats 5]

Prints the median and the best of the repetitions beside the mark. What keeps them quick is tested without a clock:
tests/bench/cli/test_startup.py.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.machine import MIB

MILLION = """\
name: million
tasks: [mini-cola, mini-mrpc]
methods:
  full: {lr: [1e-5, 2e-5, 3e-5, 4e-5, 5e-5]}
  bitfit: {lr: [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]}
  adapter: {lr: [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]}
  lora: {lr: [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]}
  head: {lr: [1e-4, 2e-4, 3e-4, 4e-4, 5e-4]}
fractions: [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
budget: [{steps: 100}, {steps: 200}, {steps: 300}]
seeds: 700
"""
"""1,050,000 trials: 50 settings, 10 fractions, 3 budgets, 700 seeds."""


@dataclass(frozen=True)
class Command:
    """A command and its marks: seconds, and bytes where memory is bounded."""

    words: tuple[str, ...]
    seconds: float
    memory: int | None = None


def timed(words: tuple[str, ...]) -> tuple[float, int]:
    """Seconds and peak resident bytes of one finebench command; raises CalledProcessError where it fails."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "finebench", *words], stdout=subprocess.DEVNULL)
    _, state, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, ["finebench", *words])
    return seconds, usage.ru_maxrss * 1024


def main() -> None:
    """Time them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory(prefix="finebench-startup-") as scratch:
        million = Path(scratch) / "million.yaml"
        million.write_text(MILLION)
        commands = [
            Command(("--help",), 0.5),
            Command(("plan", "quickstart"), 1.0),
            Command(("plan", str(million)), 10.0, 2048 * MIB),
        ]
        for command in commands:
            found = [timed(command.words) for _ in range(repeats)]
            seconds, peak = [one for one, _ in found], max(size for _, size in found)
            bound = "" if command.memory is None else f" and {command.memory / MIB:.0f} MiB"
            print(
                f"finebench {' '.join(Path(word).name for word in command.words)}: median "
                f"{statistics.median(seconds):.2f} s, best {min(seconds):.2f} s, peak {peak / MIB:.0f} MiB "
                f"(mark {command.seconds:g} s{bound})"
            )


if __name__ == "__main__":
    main()
