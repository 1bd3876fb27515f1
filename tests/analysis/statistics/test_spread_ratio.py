"""Which of two methods varies more: arithmetic, limits, agreement of test and interval, and size off normality."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize, stats

from finebench.analysis.statistics.spread_ratio import LEAST_PAIRS, spread_ratio

RNG = np.random.default_rng(6)

Pair = tuple[np.ndarray, np.ndarray]


def shared(draw: Callable[[np.random.Generator, int], np.ndarray]) -> Callable[[np.random.Generator, int], Pair]:
    """Two scores of one shape that share half of their variance."""

    def made(rng: np.random.Generator, n: int) -> Pair:
        common = draw(rng, n)
        return common + draw(rng, n), common + draw(rng, n)

    return made


def collapsing(rng: np.random.Generator, n: int) -> Pair:
    """Either collapses, alike, in a tenth of its runs."""
    a, b = (np.where(rng.random(n) < 0.1, -15.0, rng.normal(size=n)) for _ in "ab")
    return a, b


SHAPES: dict[str, Callable[[np.random.Generator, int], Pair]] = {
    "normal": shared(lambda rng, n: rng.normal(size=n)),
    "t3": shared(lambda rng, n: rng.standard_t(3, n)),
    "skewed": shared(lambda rng, n: rng.exponential(size=n)),
    "collapse": collapsing,
}


def test_a_bound_of_one_is_scipys_paired_t_test_of_the_deviations() -> None:
    a, b = RNG.normal(0, 2, 9), RNG.normal(0, 1, 9)
    found = spread_ratio([(a, b)])
    u, v = np.abs(a - np.median(a)), np.abs(b - np.median(b))
    assert stats.ttest_rel(u, v).statistic == pytest.approx(found.t(1.0))
    assert found.value == pytest.approx(u.mean() / v.mean())


def test_test_and_interval_agree_whatever_the_data() -> None:
    """Where b's spread is not told from none the interval is open; the p-value is the largest of any such ratio."""
    rng = np.random.default_rng(3)
    for draw in SHAPES.values():
        for n in (8, 9, 14):
            for _ in range(150):
                found = spread_ratio([draw(rng, n)])
                low, high = found.interval()
                for bound in (0.5, 1.0, 2.0):
                    assert (found.p_above(bound) <= 0.025) == (low >= bound)
                    assert (found.p_below(bound) <= 0.025) == (high <= bound)


def test_the_ends_of_its_interval_are_where_it_stops_rejecting() -> None:
    found = spread_ratio([(RNG.normal(0, 2, 30), RNG.normal(0, 1, 30))])
    low, high = found.interval(0.95)
    quantile = stats.t.ppf(0.975, 29)
    assert (found.t(low), found.t(high)) == pytest.approx((quantile, -quantile))
    assert optimize.brentq(lambda bound: found.t(bound) - quantile, 1e-6, found.value) == pytest.approx(low)


def test_spreads_that_cannot_be_compared() -> None:
    for a, b in (([1.0, 1, 1], [1.0, 2, 3]), ([1.0, 2, 3], [2.0, 4, 6]), ([1.0, 2], [2.0, 1])):
        found = spread_ratio([(np.array(a), np.array(b))])
        assert not found.testable
        assert all(math.isnan(value) for value in (*found.interval(), found.p_above(), found.value))
    with pytest.raises(ValueError, match="equal lengths"):
        spread_ratio([(np.ones(2), np.ones(3))])


def test_tasks_count_alike_whatever_their_scale_and_a_seed_is_one_pair() -> None:
    tasks = [(RNG.normal(0, 2, 8), RNG.normal(0, 1, 8)) for _ in range(2)]
    same = spread_ratio(tasks)
    moved = spread_ratio([tasks[0], (100 * tasks[1][0] + 7, 100 * tasks[1][1] - 3)])
    assert moved.value == pytest.approx(same.value)
    assert moved.u == pytest.approx(same.u)
    assert same.u.size == 8


def size(shape: str, n: int, times: int, ratio: float = 1.0) -> tuple[float, float]:
    """How often equal spreads (a's `ratio` times as wide) are said to differ, a's the greater and the smaller."""
    rng, above, below = np.random.default_rng(n), 0, 0
    for _ in range(times):
        a, b = SHAPES[shape](rng, n)
        found = spread_ratio([(ratio * a, b)])
        above, below = above + (found.p_above() <= 0.025), below + (found.p_below() <= 0.025)
    return above / times, below / times


@pytest.mark.parametrize("pairs", [LEAST_PAIRS, 9, 20, 40])
@pytest.mark.parametrize("shape", SHAPES)
def test_size_off_normality(shape: str, pairs: int) -> None:
    times = 1500
    assert max(size(shape, pairs, times)) <= 0.025 + 2.6 * math.sqrt(0.025 * 0.975 / times)


def pitman_morgan(a: np.ndarray, b: np.ndarray) -> float:
    """p of the test that assumes normal scores."""
    return float(stats.pearsonr(a + b, a - b).pvalue)


def test_a_test_that_assumes_normal_scores_would_err_more_the_more_seeds_there_are() -> None:
    rng, times = np.random.default_rng(0), 800
    wrong = [np.mean([pitman_morgan(*SHAPES["t3"](rng, n)) <= 0.05 for _ in range(times)]) for n in (8, 40)]
    assert wrong[1] > wrong[0] > 0.08


def main() -> None:
    """Print size and power for docs/verdicts.md."""
    for shape in SHAPES:
        for n in (8, 12, 20, 40):
            above, below = size(shape, n, 4000)
            power = size(shape, n, 2000, 3.0)[0]
            print(
                f"{shape:10} {n:3} pairs  wrong {100 * above:.1f} and {100 * below:.1f} %  3 times as wide {power:.0%}"
            )


if __name__ == "__main__":
    main()
