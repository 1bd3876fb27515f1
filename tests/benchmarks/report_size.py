"""How long reports on generated results of a given size take, and how much memory.

    python -m tests.benchmarks.report_size report 1000 1000     the whole report: trials, predictions each, evals each
    python -m tests.benchmarks.report_size aggregate 1000000    the tables of scores, of a million trial rows

Each prints CPU seconds, wall seconds, the peak of resident memory, and the size of the page. CPU seconds are what a
busy machine changes least; figures are for the machine that they are taken on.
"""

import resource
import sys
import tempfile
import time
from pathlib import Path

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.write import write_report
from finebench.analysis.scores.scores import scores
from finebench.analysis.scores.variants import variants
from tests.benchmarks.made_results import make


def whole(folder: str) -> str:
    """`finebench report`, in this process; says how large the page is."""
    page = Path(write_report(folder).path)
    return f"page {page.stat().st_size / 1e6:.1f} MB"


def aggregate(folder: str) -> str:
    """The tables that sum up trial rows: scores per cell and per variant."""
    table = runs(results := load_results(folder))
    expected = Expectation(results.plan, table)
    return f"{len(scores(table, expected))} cells, {len(variants(table, expected))} variants"


def main(kind: str, *sizes: str) -> None:
    """Make the folder, then time the work on it; what makes it runs first and is not in the time."""
    with tempfile.TemporaryDirectory() as folder:
        count = make(Path(folder), *map(int, sizes))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu, wall = time.process_time(), time.perf_counter()
        said = {"report": whole, "aggregate": aggregate}[kind](folder)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{count:,} trials: {cpu:.1f} s of CPU, {wall:.1f} s, peak {peak / 2**20:.2f} GiB "
              f"(before: {before / 2**20:.2f}), {said}")  # fmt: skip


if __name__ == "__main__":
    main(*sys.argv[1:])
