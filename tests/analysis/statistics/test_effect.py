"""The standardised paired effect: by hand, inverted, and whether its interval covers."""

import math

import numpy as np
import pytest
from scipy import stats

from finebench.analysis.statistics.effect import standardised


def test_it_is_the_mean_over_the_standard_deviation_and_its_ends_make_the_t_no_surprise() -> None:
    values = np.array([0.01, 0.03, 0.02, 0.05, -0.01, 0.02])
    made = standardised(values)
    assert made.value == pytest.approx(values.mean() / values.std(ddof=1))
    t = stats.ttest_1samp(values, 0).statistic
    assert stats.nct.cdf(t, 5, made.low * math.sqrt(6)) == pytest.approx(0.975, abs=1e-6)
    assert stats.nct.cdf(t, 5, made.high * math.sqrt(6)) == pytest.approx(0.025, abs=1e-6)


def test_pairs_that_hardly_differ_have_a_size_and_no_interval() -> None:
    made = standardised(0.05 + 1e-6 * np.array([1.0, -1.0, 0.5, 0.2, -0.4, -0.3]))
    assert made.value > 1e4
    assert math.isnan(made.low)


def test_without_spread_there_is_none() -> None:
    assert math.isnan(standardised(np.full(4, 0.1)).value)
    assert math.isnan(standardised(np.array([0.1])).value)


@pytest.mark.parametrize("size", [0.0, 0.8, 3.0])
def test_the_interval_covers(size: float) -> None:
    rng = np.random.default_rng(2)
    made = [standardised(rng.normal(size, 1, 6)) for _ in range(600)]
    covered = np.mean([one.low <= size <= one.high for one in made])
    assert abs(covered - 0.95) <= 2.6 * math.sqrt(0.05 * 0.95 / 600)
