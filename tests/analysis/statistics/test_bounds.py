"""Tests about a bound, of ratios and of spreads: limits, arithmetic by hand, scipy as the oracle, simulated size."""

import math

import numpy as np
import pytest
from scipy import stats

from analysis.statistics.holm import holm
from analysis.statistics.located import Located, average, of_pairs, of_values, p_beyond, p_within
from analysis.statistics.pitman_morgan import variance_ratio
from analysis.statistics.power import LEAST, MOST, seeds_for_margin, seeds_for_spread
from analysis.statistics.ratio import log_ratio, paired_ratio
from analysis.statistics.sample import Pairs

RNG = np.random.default_rng(4)


def plain(values: np.ndarray) -> Pairs:
    """Pairs without predictions, whose difference is `values`."""
    return Pairs(np.arange(values.size), values, np.zeros(values.size), None, 0, "no predictions")


def test_p_values_agree_with_scipys_one_sample_t() -> None:
    values = RNG.normal(0.02, 0.03, 9)
    found = of_pairs(plain(values))
    for bound in (-0.03, 0.0, 0.02):
        oracle = stats.ttest_1samp(values, bound, alternative="greater").pvalue
        assert found.p_above(bound) == pytest.approx(oracle)
        assert found.p_below(bound) == pytest.approx(1 - oracle)
    interval = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert found.interval(0.9) == pytest.approx((interval.low, interval.high))


def test_p_within_is_the_larger_of_two_one_sided_tests_and_agrees_with_the_90_percent_interval() -> None:
    for _ in range(200):
        values = RNG.normal(0.0, 0.02, 7)
        found = of_values(values)
        for margin in (0.005, 0.01, 0.02):
            low, high = found.interval(0.90)
            assert (p_within(found, margin) <= 0.05) == (-margin < low and high < margin)
            low, high = found.interval(0.95)
            assert (p_beyond(found, margin) <= 0.05) == (low > margin or high < -margin)


def test_without_spread_there_is_no_test() -> None:
    for found in (of_values([0.1, 0.1, 0.1]), of_values([0.1]), of_values([])):
        assert not found.testable
        assert all(math.isnan(value) for value in (*found.interval(0.95), found.p_above(0), p_within(found, 1.0)))
    assert of_values([0.1, 0.1]).value == pytest.approx(0.1)


def test_examples_add_to_the_error_of_a_difference() -> None:
    values = np.array([0.01, 0.02, 0.03, 0.02, 0.01, 0.03])
    common = RNG.normal(0, 0.05, (1000, 1))  # every seed moves alike: noise of the examples
    pairs = Pairs(np.arange(6), values, np.zeros(6), values + common, 400, "")
    assert of_pairs(pairs).se == pytest.approx(math.hypot(of_pairs(plain(values)).se, 0.05), rel=0.05)


def test_the_average_of_estimates_by_hand() -> None:
    made = average([Located(1.0, 0.3, 4.0, 5), Located(3.0, 0.4, 4.0, 5)])
    assert (made.value, made.se, made.n) == (2.0, pytest.approx(0.25), 10)
    assert made.df == pytest.approx(0.25**2 / ((0.09**2 + 0.16**2) / 4))
    assert average([Located(1.0, 0.3, 4.0, 5)]) == (1.0, pytest.approx(0.3), pytest.approx(4.0), 5)
    assert average([]).n == 0
    assert not average([Located(1.0, math.nan, math.nan, 1), Located(1.0, 0.1, 3.0, 4)]).testable


def test_a_ratio_is_the_geometric_mean_of_pairs() -> None:
    made = paired_ratio(np.array([2.0, 8.0, 4.0]), np.array([1.0, 2.0, 2.0]))
    assert made.value == pytest.approx((2 * 4 * 2) ** (1 / 3))
    inverse = paired_ratio(np.array([1.0, 2.0, 2.0]), np.array([2.0, 8.0, 4.0]))
    assert (inverse.low, inverse.high) == pytest.approx((1 / made.high, 1 / made.low))


def test_a_ratio_without_spread_or_pairs_says_so() -> None:
    assert paired_ratio(np.array([1.0, 1.0]), np.array([3.0, 3.0])).value == 1 / 3
    assert paired_ratio(np.array([1.0, 1.0]), np.array([3.0, 3.0])).method == "the same in every pair: no interval"
    assert paired_ratio(np.array([1.0]), np.array([4.0])).value == 0.25
    assert paired_ratio(np.array([1.0, np.nan, 0.0]), np.array([4.0, 1.0, 1.0])).n == 1
    assert math.isnan(paired_ratio(np.array([]), np.array([])).value)
    with pytest.raises(ValueError, match="positive"):
        log_ratio(np.array([0.0]), np.array([1.0]))
    with pytest.raises(ValueError, match="equal shapes"):
        log_ratio(np.ones(2), np.ones(3))


@pytest.mark.parametrize("seeds", [3, 5, 10, 25])
def test_the_interval_of_a_ratio_covers(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    hits = 0
    for _ in range(2000):
        shared = rng.normal(0, 0.2, seeds)  # a slow seed is slow for both
        a, b = np.exp(math.log(0.6) + shared + rng.normal(0, 0.1, seeds)), np.exp(shared + rng.normal(0, 0.1, seeds))
        made = paired_ratio(a, b)
        hits += made.low <= 0.6 <= made.high
    assert 0.935 <= hits / 2000 <= 0.965


def test_pitman_morgan_is_scipys_test_of_the_correlation_of_sums_and_differences() -> None:
    for n in (3, 6, 20):
        a, b = RNG.normal(0, 2, n), RNG.normal(0, 1, n)
        found = variance_ratio(a, b)
        oracle = stats.pearsonr(a + b, a - b)
        assert 2 * min(found.p_above(), found.p_below()) == pytest.approx(oracle.pvalue)
        assert found.ratio == pytest.approx(a.var(ddof=1) / b.var(ddof=1))
        scaled = stats.pearsonr(a / math.sqrt(2.5) + b, a / math.sqrt(2.5) - b, alternative="greater")
        assert found.p_above(2.5) == pytest.approx(scaled.pvalue)


def test_the_ends_of_its_interval_are_where_it_stops_rejecting() -> None:
    found = variance_ratio(RNG.normal(0, 2, 8), RNG.normal(0, 1, 8))
    low, high = found.interval(0.95)
    assert (found.p_above(low), found.p_below(high)) == pytest.approx((0.025, 0.025))


def test_spreads_that_cannot_be_compared() -> None:
    for a, b in (([1.0, 1, 1], [1.0, 2, 3]), ([1.0, 2, 3], [2.0, 4, 6]), ([1.0, 2], [2.0, 1])):
        found = variance_ratio(np.array(a), np.array(b))
        assert not found.testable
        assert all(math.isnan(value) for value in (*found.interval(), found.p_above()))
    with pytest.raises(ValueError, match="equal lengths"):
        variance_ratio(np.ones(2), np.ones(3))


def test_groups_count_alike_whatever_their_scale() -> None:
    a, b = RNG.normal(0, 2, (2, 8)), RNG.normal(0, 1, (2, 8))
    groups = np.repeat([0, 1], 8)
    same = variance_ratio(a.ravel(), b.ravel(), groups)
    a[1], b[1] = 100 * a[1] + 7, 100 * b[1] - 3
    assert variance_ratio(a.ravel(), b.ravel(), groups) == pytest.approx(same)
    assert same.df == 16 - 2 - 1


@pytest.mark.parametrize(("seeds", "groups"), [(6, 1), (10, 1), (25, 1), (6, 3)])
def test_size_and_coverage_of_pitman_morgan(seeds: int, groups: int) -> None:
    rng = np.random.default_rng(seeds + groups)
    kinds = np.repeat(np.arange(groups), seeds)
    rejected = covered = 0
    for _ in range(2000):
        shared = rng.normal(0, 1, seeds * groups)
        a, b = shared + rng.normal(0, 1, shared.size), shared + rng.normal(0, 1, shared.size)
        rejected += 2 * min((null := variance_ratio(a, b, kinds)).p_above(), null.p_below()) <= 0.05
        low, high = variance_ratio(1.7 * a, b, kinds).interval()
        covered += low <= 1.7**2 <= high
    assert 0.035 <= rejected / 2000 <= 0.067
    assert 0.93 <= covered / 2000 <= 0.967


def test_power_of_pitman_morgan_is_what_the_number_of_seeds_was_made_for() -> None:
    rng = np.random.default_rng(1)
    needed = seeds_for_spread(2.0, 0.5).seeds
    assert needed is not None
    found = 0
    for _ in range(2000):
        shared = rng.normal(0, 1, needed)
        a, b = (math.sqrt(0.5) * shared + rng.normal(0, math.sqrt(0.5), needed) for _ in "ab")
        found += variance_ratio(2 * a, b).p_above() <= 0.025
    assert 0.76 <= found / 2000 <= 0.86


def test_holm_by_hand() -> None:
    # Holm (1979): 0.01·4, then max(0.04, 0.02·3), then max(0.06, 0.03·2), then max(0.06, 0.04·1)
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.6, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([0.03, math.nan]) == pytest.approx([0.03, math.nan], nan_ok=True)
    assert holm([]).size == 0


@pytest.mark.parametrize("two_sided", [True, False])
def test_the_seeds_that_settle_a_margin_do_so_in_four_of_five_simulations(two_sided: bool) -> None:
    rng = np.random.default_rng(2)
    margin, spread = 0.01, 0.02
    needed = seeds_for_margin(spread**2, 0.0, 0, margin, two_sided).seeds
    assert needed is not None
    assert needed > LEAST
    centre = 0.0 if two_sided else margin
    draws = [of_values(rng.normal(centre, spread, needed)) for _ in range(2000)]
    decided = np.mean([p_within(d, margin) <= 0.05 if two_sided else d.p_above(0.0) <= 0.025 for d in draws])
    assert 0.78 <= decided <= 0.86


def test_no_number_of_seeds_outruns_the_noise_of_the_examples() -> None:
    never = seeds_for_margin(0.02**2, 0.01**2, 400, 0.01)
    assert never.seeds is None
    assert never.more_examples is not None
    # 1.645 + 1.282 standard errors must fit into the margin: (2.926)² times the examples
    assert never.more_examples == pytest.approx(2.926**2, rel=0.01)
    enough = seeds_for_margin(0.02**2, 0.01**2 / (1.05 * never.more_examples), 4000, 0.01)
    assert enough.seeds is not None
    assert seeds_for_margin(1.0, 0.0, 0, 1e-4).seeds is None  # more than MOST
    assert seeds_for_margin(1e-12, 0.0, 0, 1.0).seeds == LEAST < MOST
    assert seeds_for_margin(0.0, 0.0, 0, 0.1).seeds == LEAST
    assert seeds_for_spread(1.0, 0.3).seeds is None
