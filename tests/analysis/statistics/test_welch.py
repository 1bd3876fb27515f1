"""Welch's interval against scipy's own test and its limit cases."""

import math

import numpy as np
import pytest
from scipy import stats

from finebench.analysis.statistics.welch import mean_difference


def test_by_hand() -> None:
    # variances 1 and 4, three each: se = sqrt(5/3), df = (5/3)^2 / ((1/3)^2/2 + (4/3)^2/2) = 50/17
    a, b = np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 4.0])
    made, p = mean_difference(a + 1, b)
    half = stats.t.ppf(0.975, 50 / 17) * math.sqrt(5 / 3)
    assert made.value == pytest.approx(1.0)
    assert (made.low, made.high) == pytest.approx((1 - half, 1 + half))
    assert p == pytest.approx(2 * stats.t.sf(1 / math.sqrt(5 / 3), 50 / 17))
    assert made.n == 6


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [([], [1.0], "no values"), ([1.0], [1.0, 2.0], "one seed"), ([1.0, 1.0], [2.0, 2.0], "no spread")],
)
def test_no_interval_says_why(a: list[float], b: list[float], why: str) -> None:
    made, p = mean_difference(np.array(a), np.array(b))
    assert why in made.method
    assert not made.has_interval
    assert math.isnan(p)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_coverage_with_unequal_spread(n: int) -> None:
    rng = np.random.default_rng(n)
    hits = 0
    for _ in range(1500):
        made, _ = mean_difference(rng.normal(1, 1, n), rng.normal(0, 2, n + 2))
        hits += made.low <= 1 <= made.high
    assert 0.92 <= hits / 1500 <= 0.97
