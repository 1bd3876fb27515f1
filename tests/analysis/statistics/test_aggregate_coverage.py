"""Whether intervals over several tasks cover: the interquartile mean, and the probability of improvement.

`python -m tests.analysis.statistics.test_aggregate_coverage` prints the rates of docs/verdicts.md.
"""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.aggregates import expand, expand_share, improvement, iqm_all, within_tasks

RESAMPLES = 400


def iqm_covered(tasks: int, runs: int, apart: float, times: int) -> float:
    """Share of simulated studies whose interval holds the interquartile mean of very many runs.

    Normal scores of sd 0.05; the tasks' means lie evenly over a range of `apart`.
    """
    rng, inside = np.random.default_rng([tasks, runs]), 0
    means = 0.5 + apart * np.linspace(0, 1, tasks)
    truth = float(iqm_all(means + 0.05 * stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)[:, None]))
    for _ in range(times):
        scores = means + rng.normal(0, 0.05, (runs, tasks))
        draws = iqm_all(expand(within_tasks(scores, rng, RESAMPLES), scores.mean(axis=0)))
        low, high = np.quantile(draws, [0.025, 0.975])
        inside += low <= truth <= high
    return float(inside / times)


def improvement_covered(tasks: int, runs: int, shift: float, times: int) -> float:
    """The same of the probability of improvement, of normal scores `shift` standard deviations apart."""
    rng, inside, truth = np.random.default_rng([tasks, runs]), 0, stats.norm.cdf(shift / math.sqrt(2))
    for _ in range(times):
        value, draws = improvement(rng.normal(shift, 1, (runs, tasks)), rng.normal(0, 1, (runs, tasks)), rng, RESAMPLES)
        low, high = np.quantile(expand_share(draws, value, runs, tasks), [0.025, 0.975])
        inside += low <= truth <= high
    return float(inside / times)


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_intervals_over_tasks_cover(runs: int) -> None:
    times = 300
    noise = 2 * math.sqrt(0.05 * 0.95 / times)
    assert 0.92 - noise <= iqm_covered(4, runs, 0.0, times) <= 0.97 + noise
    assert 0.92 - noise <= improvement_covered(3, runs, 0.5, times) <= 0.97 + noise


@pytest.mark.slow
@pytest.mark.parametrize("runs", [5, 10, 25])
@pytest.mark.parametrize("tasks", [2, 3, 5])
def test_intervals_over_tasks_cover_in_many_draws(tasks: int, runs: int) -> None:
    times = 1000
    noise = 2 * math.sqrt(0.05 * 0.95 / times)
    assert 0.90 <= iqm_covered(tasks, runs, 0.5, times) <= 0.97 + noise  # tasks far apart: trimming few runs is biased
    assert 0.92 - noise <= improvement_covered(tasks, runs, 0.5, times) <= 0.97 + noise


def main() -> None:
    """Print every rate."""
    for tasks in (2, 3, 5):
        for apart in (0.0, 0.5):
            print(
                "IQM",
                tasks,
                f"tasks {apart:g} apart",
                [iqm_covered(tasks, s, apart, 500) for s in (3, 5, 10, 25)],
                flush=True,
            )
        for shift in (0.0, 0.5, 1.5):
            rates = [improvement_covered(tasks, s, shift, 500) for s in (3, 5, 10, 25)]
            print("improvement", tasks, f"tasks, {shift:g} sd apart", rates, flush=True)


if __name__ == "__main__":
    main()
