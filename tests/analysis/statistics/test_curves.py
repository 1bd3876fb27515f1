"""Crossings, saturation and fronts: by hand, at their limits, and by simulated coverage."""

import math

import numpy as np
import pytest

from finebench.analysis.statistics.pareto import front, front_probability
from finebench.analysis.statistics.root import first_root
from finebench.analysis.statistics.saturation import reach

X = np.array([0.1, 0.3, 1.0])


def test_a_crossing_is_interpolated_in_log_x() -> None:
    found = first_root(np.array([1.0, 100.0]), np.array([[-1.0, 1.0], [-1.0, 1.0]]))
    assert (found.value, found.outcome, found.n) == (pytest.approx(10.0), "crosses", 2)
    assert first_root(np.array([1.0, 3.0]), np.array([[-1.0, 1.0]]), log=False).value == 2.0
    assert math.isnan(first_root(np.array([1.0, 3.0]), np.array([[-1.0, 1.0]])).low)  # one seed


def test_first_and_last_crossing() -> None:
    x = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    wave = np.array([[-1.0, 1.0, -1.0, 1.0, 2.0]])
    assert first_root(x, wave, log=False).value == 1.5
    assert first_root(x, wave, log=False, last=True).value == 3.5
    assert first_root(x, -wave, log=False, last=True).outcome == "never"


def test_outcomes_at_the_ends() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.001, (5, 3))
    low = first_root(X, np.array([-0.3, -0.2, -0.1]) + noise)
    assert (low.outcome, math.isnan(low.value), low.low, low.high) == ("never", True, pytest.approx(1.0), math.inf)
    high = first_root(X, np.array([0.1, 0.2, 0.3]) + noise)
    assert (high.outcome, high.value, high.low, high.high) == (
        "above from the start",
        0.1,
        -math.inf,
        pytest.approx(0.1),
    )
    wide = first_root(X, np.array([-0.01, 0.0, 0.01]) + rng.normal(0, 0.2, (5, 3)))
    assert (wide.low, wide.high) == (-math.inf, math.inf)
    assert first_root(X, np.full((2, 3), np.nan)).outcome == "no curve"
    assert first_root(X, np.empty((0, 3))).outcome == "no curve"
    with pytest.raises(ValueError, match="increasing"):
        first_root(X[::-1], noise)


@pytest.mark.parametrize("seeds", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in (5, 10, 25))])
def test_the_interval_of_a_crossing_covers_at_few_seeds(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    mean = np.array([-0.05, 0.02, 0.06])
    true = math.exp(math.log(0.1) + 5 / 7 * math.log(3))
    hits = 0
    for _ in range(600):
        curves = mean + rng.normal(0, 0.01, (seeds, 3)) + rng.normal(0, 0.008, (seeds, 1))
        found = first_root(X, curves)
        hits += found.low <= true <= found.high
    assert 0.92 <= hits / 600 <= 0.975


def test_reaching_a_share_of_the_gain_over_the_constant_predictor() -> None:
    scores = np.tile([0.50, 0.68, 0.90], (3, 1))
    made = reach(X, scores, np.full(3, 0.90), constant=0.50, share=0.95)
    assert made.value == pytest.approx(math.exp(math.log(0.3) + (0.88 - 0.68) / 0.22 * math.log(1 / 0.3)))
    assert reach(X, scores, np.full(3, 0.99), 0.5, 0.95).outcome == "never"
    assert reach(X, scores + 0.5, np.full(3, 0.90), 0.5, 0.95).outcome == "above from the start"


def test_a_method_is_on_the_front_unless_another_is_as_good_at_no_higher_cost() -> None:
    scores, costs = np.array([0.9, 0.8, 0.8, 0.7]), np.array([[3.0], [1.0], [2.0], [1.0]])
    assert front(scores, costs).tolist() == [True, True, False, False]
    assert front(np.array([0.9, 0.9]), np.array([[1.0], [1.0]])).tolist() == [True, True]  # equals do not beat
    two = np.array([[3.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 3.0]])
    assert front(scores, two).tolist() == [True, True, True, False]


def test_front_probabilities_follow_the_noise() -> None:
    rng = np.random.default_rng(0)
    costs = np.tile([[2.0], [1.0]], (8, 1, 1))
    equal = rng.normal(0.8, 0.02, (8, 2))
    share = front_probability(equal, costs, np.random.default_rng(1))
    better = np.random.default_rng(1).multinomial(8, np.full(8, 1 / 8), size=2000) @ (equal[:, 0] - equal[:, 1]) > 0
    assert share.tolist() == [pytest.approx(better.mean()), 1.0]
    assert front_probability(equal + np.array([0.5, 0.0]), costs, rng).tolist() == [1.0, 1.0]
    assert np.isnan(front_probability(equal[:1], costs[:1], rng)).all()


def test_front_probability_is_calibrated_where_two_methods_are_equal() -> None:
    rng = np.random.default_rng(3)
    costs = np.tile([[2.0], [1.0]], (10, 1, 1))
    shares = [front_probability(rng.normal(0, 1, (10, 2)), costs, rng, replicates=200)[0] for _ in range(400)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.05)
