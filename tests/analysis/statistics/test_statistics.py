"""Estimators against scipy, by hand, and at their limits."""

import math

import numpy as np
import pytest
from scipy import stats

from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.location import iqm, median
from finebench.analysis.statistics.mean import mean_t
from finebench.analysis.statistics.spread import extremes, sd


@pytest.mark.parametrize("n", [2, 3, 5, 10, 25])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_mean_t_agrees_with_scipy(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(0.8, 0.03, n)
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(level)
    made = mean_t(values, level)
    assert made.n == n
    assert made.has_interval
    assert (made.value, made.low, made.high) == pytest.approx((values.mean(), low, high), rel=1e-12)


def test_mean_t_by_hand() -> None:
    made = mean_t([0.8, 0.9])  # sd 0.0707, t(1) at 97.5 % is 12.7062
    assert made.value == pytest.approx(0.85)
    assert made.high - made.value == pytest.approx(12.7062047 * 0.05, rel=1e-6)
    assert made.method == "Student t, 95%, 2 seeds"


@pytest.mark.parametrize(
    ("values", "value", "why"),
    [([0.7], 0.7, "one seed"), ([0.5, 0.5, 0.5], 0.5, "all 3 seeds scored the same"), ([], math.nan, "no values")],
)
def test_no_interval_says_why(values: list[float], value: float, why: str) -> None:
    made = mean_t(values)
    assert made.value == pytest.approx(value, nan_ok=True)
    assert not made.has_interval
    assert why in made.method


def test_a_hole_is_never_averaged_over() -> None:
    made = mean_t([0.8, math.nan, 0.9])
    assert math.isnan(made.value)
    assert math.isnan(iqm([0.8, math.nan]))
    assert math.isnan(median([0.8, math.nan]))
    assert math.isnan(sd([0.8, math.nan]))


@pytest.mark.parametrize("n", [3, 5, 10, 25])
def test_mean_t_covers_normal_seeds(n: int) -> None:
    rng = np.random.default_rng(n)
    made = [mean_t(row) for row in rng.normal(0.8, 0.02, (4000, n))]
    covered = np.mean([one.low <= 0.8 <= one.high for one in made])
    assert 0.94 <= covered <= 0.96  # 4,000 draws: sd 0.0034


def test_iqm_by_hand_and_by_scipy() -> None:
    assert iqm([1, 2, 3, 4, 5, 6, 7, 100]) == 4.5  # two off each end
    assert iqm([1.0, 5.0, 9.0]) == 5.0  # ⌊3/4⌋ = 0 off each end: the mean
    values = np.random.default_rng(0).normal(size=23)
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25))
    assert iqm(values) == pytest.approx(np.sort(values)[5:-5].mean())


def test_spread_and_location_at_the_limits() -> None:
    values = np.random.default_rng(1).normal(size=9)
    assert sd(values) == pytest.approx(stats.tstd(values))
    assert median(values) == pytest.approx(np.quantile(values, 0.5))
    assert math.isnan(sd([1.0]))
    assert math.isnan(median([]))
    assert math.isnan(iqm([]))
    assert extremes([2.0, math.nan, 1.0]) == (1.0, 2.0)
    assert all(math.isnan(end) for end in extremes([]))


def test_an_estimate_names_its_parts() -> None:
    made = Estimate(0.5, 0.4, 0.6, 3, "by hand")
    assert (made.value, made.low, made.high, made.n, made.method) == (0.5, 0.4, 0.6, 3, "by hand")
