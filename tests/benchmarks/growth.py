"""What a results folder costs as it grows: how long each command takes on one of a given size, and its peak memory.

    python -m tests.benchmarks.growth [--trials 1000 10000 100000] [--examples 1000] [--folder DIR]

Each folder is finished (see `grown_folder`), so that `run` finds nothing to do and leaves the report as it is, which
`report` has made before. Every command runs in a process of its own. --folder keeps what was made, and takes it up
again. What a trial costs while a run writes it is `tests.benchmarks.scale`'s to say.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.grown_folder import SHAPES, grow
from tests.benchmarks.machine import describe

GIB = 2**30


def timed(words: list[str]) -> tuple[float, float, int]:
    """Seconds on the clock, seconds of CPU, and the peak of resident memory in bytes of one command."""
    begin = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "finebench", *words], stdout=subprocess.DEVNULL)
    _, code, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(code)
    if child.returncode:
        raise RuntimeError(f"finebench {' '.join(words)} ended with code {child.returncode}")
    return time.monotonic() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def main() -> None:
    """Make the folders, run the commands, print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, nargs="+", choices=sorted(SHAPES), default=sorted(SHAPES))
    parser.add_argument("--examples", type=int, default=1000, help="predictions of each trial [default: 1000]")
    parser.add_argument("--folder", type=Path, help="keep the folders here [default: a temporary one]")
    asked = parser.parse_args()
    print(" · ".join(describe().values()), flush=True)
    print(f"{'trials':>8} {'command':<22} {'seconds':>8} {'of CPU':>8} {'peak GiB':>9}", flush=True)
    with tempfile.TemporaryDirectory(prefix="finebench-growth-") as scratch:
        for trials in asked.trials:
            path = (asked.folder or Path(scratch)) / str(trials)
            path.parent.mkdir(parents=True, exist_ok=True)
            study = path.parent / f"{path.name}.yaml"
            if not path.exists():
                study = grow(path, trials, asked.examples)
            again = ["run", str(study), "--results", str(path)]
            commands = {"status": ["status", str(path)], "report": ["report", str(path)]}
            commands |= {"run, nothing to do": again, "verify": ["verify", str(path)]}
            for name, words in commands.items():
                seconds, cpu, peak = timed(words)
                print(f"{trials:>8,} {name:<22} {seconds:>8.1f} {cpu:>8.1f} {peak / GIB:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
