"""Tests about a bound, of ratios and of spreads: limits, arithmetic by hand, scipy as the oracle, simulated size."""

import math

import numpy as np
import pytest
from scipy import stats

from finebench.analysis.statistics.holm import holm
from finebench.analysis.statistics.located import of_pairs, of_values, p_beyond, p_within
from finebench.analysis.statistics.power import LEAST, MOST, seeds_for_margin, seeds_range
from finebench.analysis.statistics.ratio import log_ratio, paired_ratio
from finebench.analysis.statistics.sample import Pairs

RNG = np.random.default_rng(4)


def plain(values: np.ndarray) -> Pairs:
    """Pairs without predictions, whose difference is `values`."""
    return Pairs(np.arange(values.size), values, np.zeros(values.size), None, 0, "no predictions")


def test_p_values_agree_with_scipys_one_sample_t() -> None:
    values = RNG.normal(0.02, 0.03, 9)
    found = of_pairs([plain(values)])
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
    assert of_pairs([pairs]).se == pytest.approx(math.hypot(of_pairs([plain(values)]).se, 0.05), rel=0.05)


def test_the_mean_over_tasks_is_made_by_seed() -> None:
    """Tasks that share a seed's effect are no independent pairs: the variance is that of the seeds' means."""
    shared = RNG.normal(0, 0.03, 8)
    tasks = [plain(shared + RNG.normal(0, 0.01, 8)) for _ in range(3)]
    found, means = of_pairs(tasks), np.mean([one.difference for one in tasks], axis=0)
    oracle = stats.ttest_1samp(means, 0.0)
    assert 2 * min(found.p_above(0), found.p_below(0)) == pytest.approx(oracle.pvalue)
    assert (found.n, found.df) == (8, pytest.approx(7))


def test_the_mean_over_tasks_rests_on_the_seeds_that_all_have() -> None:
    tasks = [Pairs(np.array(s), np.arange(4.0) + s[0], np.zeros(4), None, 0, "") for s in ([1, 2, 3, 4], [2, 3, 4, 5])]
    assert (of_pairs(tasks).n, of_pairs(tasks).value) == (3, pytest.approx(((2 + 3 + 4) + (2 + 3 + 4)) / 6))


def test_a_ratio_that_is_constant_up_to_rounding_has_no_spread() -> None:
    a = np.array([0.1 + 0.2, 0.6, 0.9, 1.2])
    made = paired_ratio(a, np.array([0.1, 0.2, 0.3, 0.4]))
    assert np.ptp(np.log(a / np.array([0.1, 0.2, 0.3, 0.4]))) > 0  # the rounding that must not decide
    assert made.method == "the same in every pair: no interval"
    assert made.value == pytest.approx(3)


def test_the_range_of_a_pilots_answer_by_hand() -> None:
    """36 seeds from a pilot of six: its variance is known to a factor of 0.54 to 3.1 at 80 %."""
    spread = 0.0204
    low, high = seeds_range(spread**2, 5.0, 0.0, 0, 0.01)
    ends = [seeds_for_margin(spread**2 * 5 / stats.chi2.ppf(q, 5), 0.0, 0, 0.01).seeds for q in (0.9, 0.1)]
    assert [low, high] == ends
    assert low is not None
    assert high is not None
    assert low < (seeds_for_margin(spread**2, 0.0, 0, 0.01).seeds or 0) < high
    assert seeds_range(1.0, 5.0, 0.0, 0, 1e-3) == (None, None)


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
