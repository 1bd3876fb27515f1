"""Whether intervals over several tasks cover: the interquartile mean, and the probability of improvement.

`python -m tests.analysis.statistics.test_aggregate_coverage` prints the rates of docs/verdicts.md.
"""

import math

import numpy as np
import pytest
from scipy import stats

from finebench.analysis.statistics.aggregates import expand, iqm_all, within_tasks
from finebench.analysis.statistics.improvement import improvement

RESAMPLES = 400


def iqm_covered(tasks: int, runs: int, apart: float, times: int, noisier: float = 1.0) -> float:
    """Share of simulated studies whose interval holds the interquartile mean of very many runs.

    Normal scores of sd 0.05, `noisier` times as much in the middle task; the tasks' means lie evenly over a range of
    `apart`.
    """
    rng, inside = np.random.default_rng([tasks, runs]), 0
    means = 0.5 + apart * np.linspace(0, 1, tasks)
    sds = np.where(np.arange(tasks) == tasks // 2, noisier, 1.0) * 0.05
    truth = float(iqm_all(means + sds * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]))
    for _ in range(times):
        scores = means + rng.normal(0, sds, (runs, tasks))
        draws = iqm_all(expand(within_tasks(scores, rng, RESAMPLES), scores))
        low, high = np.quantile(draws, [0.025, 0.975])
        inside += low <= truth <= high
    return float(inside / times)


def improvement_covered(tasks: int, runs: int, shift: float, times: int, sd: float = 1.0, apart: float = 0.0) -> float:
    """The same of the probability of improvement: normal scores of `sd` against 1, `shift` apart on average, on the
    outer tasks by `apart` more and less."""
    rng, inside = np.random.default_rng([tasks, runs]), 0
    shifts = shift + apart * np.linspace(-1, 1, tasks)
    truth = stats.norm.cdf(shifts / math.hypot(1, sd)).mean()
    for _ in range(times):
        made = improvement(rng.normal(shifts, sd, (runs, tasks)), rng.normal(0, 1, (runs, tasks)))
        inside += made.low <= truth <= made.high
    return float(inside / times)


def noise(times: int) -> float:
    """Twice the standard error of a rate near 95 %."""
    return 2 * math.sqrt(0.05 * 0.95 / times)


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_intervals_over_tasks_cover(runs: int) -> None:
    times = 300
    for apart in (0.0, 0.5):
        assert 0.92 - noise(times) <= iqm_covered(4, runs, apart, times) <= 0.97 + noise(times)
    for shift in (0.5, 2.5):
        assert 0.92 - noise(times) <= improvement_covered(3, runs, shift, times) <= 0.99


CASES = ((0.0, 1.0, 0.0), (0.5, 1.0, 0.0), (2.5, 1.0, 0.0), (0.5, 5.0, 0.0), (0.5, 1.0, 1.5))
"""Shift, sd of one method, and how far tasks are apart."""


@pytest.mark.slow
@pytest.mark.parametrize("runs", [3, 5, 10, 25])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_intervals_over_tasks_cover_in_many_draws(tasks: int, runs: int) -> None:
    times = 1000
    for apart in (0.0, 0.2, 0.5):
        assert 0.92 - noise(times) <= iqm_covered(tasks, runs, apart, times) <= 0.97 + noise(times)
    least = 0.83 if tasks == 2 else 0.90  # one task five times as noisy: trimming so few runs is biased too
    assert least <= iqm_covered(tasks, runs, 0.5, times, 5.0) <= 0.97 + noise(times)
    for shift, sd, apart in CASES:
        most = 0.9995 if (tasks, runs) == (2, 3) else 0.992  # nine pairs on each of two tasks are few values
        assert 0.92 - noise(times) <= improvement_covered(tasks, runs, shift, times, sd, apart) <= most


def main() -> None:
    """Print every rate."""
    seeds = (3, 5, 10, 25)
    for tasks in (2, 3, 5):
        for apart, noisier in ((0.0, 1.0), (0.2, 1.0), (0.5, 1.0), (0.5, 5.0)):
            rates = [iqm_covered(tasks, s, apart, 1000, noisier) for s in seeds]
            print(f"IQM, {tasks} tasks {apart:g} apart, one {noisier:g} times as noisy", rates, flush=True)
        for shift, sd, apart in CASES:
            rates = [improvement_covered(tasks, s, shift, 1000, sd, apart) for s in seeds]
            print(f"improvement, {tasks} tasks, shift {shift:g}, sd {sd:g}, tasks {apart:g} apart", rates, flush=True)


if __name__ == "__main__":
    main()
