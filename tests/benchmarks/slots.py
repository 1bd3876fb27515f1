"""How full N slots are to the end of a study: its makespan beside what no order could beat.

    python -m tests.benchmarks.slots [--slots 1 10 100 1000] [--slow 0.5] [--preempted 0.05] [--draws 3]

The study is doering2024, its trials as long as `finebench plan` says on a core of 5e10 FLOP/s (0.13 to 1.8 hours). Of
the nodes, of 8 slots each, every other one has the speed `--slow`; each is taken away `--preempted` times an hour and
is there again after two minutes. The clock is simulated (bench.scheduling.simulation.clock says what of a run is real).
`breadth first` is the ratio of an order without an end: seed after seed to the last. Of several draws the longest is
printed.
"""

import argparse
from collections.abc import Sequence
from functools import cache

import numpy as np

from finebench.bench.driver.forecast import find_architecture
from finebench.bench.driver.validate import declared
from finebench.bench.scheduling.simulation.clock import Node, Simulated, Site, simulate
from finebench.bench.scheduling.simulation.simulated_plan import planned
from finebench.bench.study.estimate import NOMINAL, Size, estimate, trial_seconds
from finebench.bench.study.load import load_study
from finebench.bench.study.plan import Cell, Plan

SLOTS = (1, 2, 4, 8, 16, 32, 64, 100, 200, 300, 400, 500, 600, 800, 1000)
A_NODE = 8


@cache
def doering() -> tuple[Plan, dict[Cell, float]]:
    """The plan of doering2024, and seconds of a trial of each cell on one core, with its tasks' published sizes."""
    study = load_study("doering2024", [], None, [])
    plan, architecture = Plan(study), find_architecture(study.model)
    sizes = {}
    for name in study.task_names:
        found = declared(name)
        if found.size_hint is None:
            raise ValueError(f"the size of {name} is not published")
        hint, labels = found.size_hint, 1 if found.kind == "regression" else 2
        sizes[name] = Size(hint.train, hint.score, hint.tokens, hint.tokens**2 * 1.2, labels)
    return plan, {
        cell: trial_seconds(estimate(plan, cell, architecture, sizes[cell.task]), NOMINAL) for cell in plan.cells()
    }


def site(slots: int, slow: float, preempted: float) -> Site:
    """Nodes of 8 slots, every other one slow; of up to 8 slots each is a node."""
    sizes = [1] * slots if slots <= A_NODE else [A_NODE] * (slots // A_NODE) + [slots % A_NODE] * (slots % A_NODE > 0)
    return Site(tuple(Node(size, slow if place % 2 else 1.0) for place, size in enumerate(sizes)), preempted)


def replay(where: Site, draw: int, breadth_first: bool = False) -> Simulated:
    """Doering2024 there."""
    plan, seconds = doering()
    of = {cell.key: value for cell, value in seconds.items()}
    scheduler = planned(plan, seconds, where.slots)
    if breadth_first:
        scheduler.queue.slots = 0
    return simulate(scheduler, lambda trial: of[trial.cell], where, np.random.default_rng(draw))


def worst(where: Site, draws: Sequence[int], breadth_first: bool = False) -> Simulated:
    """Of several draws the one that took longest."""
    return max((replay(where, draw, breadth_first) for draw in draws), key=lambda found: found.seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slots", type=int, nargs="+", default=SLOTS)
    parser.add_argument("--slow", type=float, default=0.5)
    parser.add_argument("--preempted", type=float, default=0.05)
    parser.add_argument("--draws", type=int, default=3)
    asked = parser.parse_args()
    print(f"{'slots':>6}{'makespan, h':>13}{'bound, h':>10}{'ratio':>7}{'breadth first':>15}{'lost packs':>12}")
    for slots in asked.slots:
        where, draws = site(slots, asked.slow, asked.preempted), range(asked.draws)
        found, before = worst(where, draws), worst(where, draws, breadth_first=True)
        hours, bound = found.seconds / 3600, found.bound / 3600
        ratios = f"{hours / bound:>7.3f}{before.seconds / before.bound:>15.3f}"
        print(f"{slots:>6}{hours:>13.2f}{bound:>10.2f}{ratios}{found.lost:>12}", flush=True)


if __name__ == "__main__":
    main()
