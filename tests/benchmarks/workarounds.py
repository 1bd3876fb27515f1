"""What each workaround of bench/driver/ray/workarounds.py is worth: one small sweep with all of them, and without one.

    python -m tests.benchmarks.workarounds [--only services end collector] [--trials 200] [--repeats 5]

The sweep's trials train nothing (tests/benchmarks/noop.py). The two ways alternate, each run in a process of its own.
`collector` is no part of Ray: a worker's imports with and without garbage collection (bench/util/quick_imports.py).
Prints, of each, the medians with and without it, and the ratio without / with: CPU seconds of all processes
(Ray's with them), seconds, and the driver's peak memory. On a machine with other work only CPU seconds mean something.
Linux only: there a process can wait for the processes that its children leave behind.
"""

import argparse
import ctypes
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from finebench.bench.driver.ray.workarounds import NAMES, SWITCH
from tests.benchmarks.machine import MIB
from tests.benchmarks.scale import make_study, run_scale

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
MEASURED = [name for name in NAMES if name not in ("losses", "hung", "prepared", "messages")]
"""The others are there for what they do."""
CHOICES = ["1", *MEASURED, "collector"]

_IMPORTS = "import torch, transformers, peft; from transformers import BertForSequenceClassification"
_UNCOLLECTED = f"""
from finebench.bench.util.quick_imports import uncollected
with uncollected():
    {_IMPORTS}
"""

Figures = tuple[float, float, float]
"""CPU seconds of all processes, seconds, MiB of the driver at its peak."""


def measured(without: str, trials: int) -> Figures:
    """One sweep in a process of its own; raises CalledProcessError where it fails."""
    if without == "collector":
        return _run([sys.executable, "-c", _IMPORTS], os.environ)
    if without == "with the collector off":
        return _run([sys.executable, "-c", _UNCOLLECTED], os.environ)
    with tempfile.TemporaryDirectory(prefix="finebench-workarounds-") as folder:
        command = [sys.executable, "-m", "tests.benchmarks.workarounds", "--trials", str(trials), "--once", folder]
        return _run(command, os.environ | {SWITCH: without})


def _run(command: list[str], environment: Mapping[str, str]) -> Figures:
    before, begin = _cpu(), time.monotonic()
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, state, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    while True:  # what Ray leaves behind is ours to wait for
        try:
            os.wait()
        except ChildProcessError:
            break
    return _cpu() - before, seconds, usage.ru_maxrss * 1024 / MIB


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def compare(name: str, trials: int, repeats: int) -> None:
    """Alternate, print one line."""
    having_it = "with the collector off" if name == "collector" else ""
    found: dict[str, list[Figures]] = {having_it: [], name: []}
    for _ in range(repeats):
        for without, kept in found.items():
            kept.append(measured(without, trials))
    having, lacking = ([statistics.median(column) for column in zip(*each, strict=True)] for each in found.values())
    words = [
        f"{what} {a:.1f} / {b:.1f} {unit} ({a / b:.2f})"
        for what, unit, a, b in zip(("CPU", "wall", "driver"), ("s", "s", "MiB"), lacking, having, strict=True)
    ]
    print(f"{name}: without / with: {', '.join(words)}", flush=True)


def main() -> None:
    """Measure them, print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CHOICES, default=CHOICES, help="1: all of Ray's at once")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--once", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.once is not None:
        run_scale(make_study(given.trials, "grid"), given.once)
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl: the processes that Ray leaves behind cannot be waited for")
    for name in given.only:
        compare(name, given.trials, given.repeats)


if __name__ == "__main__":
    main()
