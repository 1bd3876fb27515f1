"""Crossed seeds: mean squares by hand and against statsmodels, and how often intervals and tests err."""

import math
from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from finebench.analysis.statistics.design import Design, design, independent, mean_variance, single_variance
from finebench.analysis.statistics.mean import mean_t
from finebench.analysis.statistics.proportion import effective
from finebench.analysis.statistics.superiority import superiority, verdict
from finebench.bench.study.parts.seeds import crossed

Sds = dict[tuple[int, ...], float]
"""Standard deviation of each source's effect, by the axes that it depends on."""


def codes(shape: tuple[int, ...]) -> np.ndarray:
    return np.array(sorted(seed.code for seed in crossed(*shape)))


def drawn(rng: np.random.Generator, shape: tuple[int, ...], sds: Sds, noise: float, of: Design) -> np.ndarray:
    """Scores of a crossed study, in the order of its seeds' codes."""
    table = rng.normal(0, noise, shape) if noise else np.zeros(shape)
    for axes, sd in sds.items():
        table = table + rng.normal(0, sd, [n if i in axes else 1 for i, n in enumerate(shape)])
    made: np.ndarray = table[tuple(of.levels.T)]
    return made


def test_a_design_is_read_from_the_codes_of_seeds() -> None:
    made = design(codes((3, 2, 2)))
    assert (made.names, made.counts) == (("head initialisation", "data order", "subset"), (3, 2, 2))
    assert made.few == "2 of data order, 2 of subset"
    assert not design(np.array([1, 2, 5])).crossed
    one = design(codes((6, 1, 1)))
    assert (one.names, one.fixed, one.few) == (("head initialisation",), ("data order", "subset"), "")
    assert "10 of 12" in design(codes((3, 2, 2))[:10]).why
    assert math.isnan(mean_variance(np.arange(10.0), design(codes((3, 2, 2))[:10]))[0])


def test_the_variance_of_a_mean_by_hand() -> None:
    of = design(codes((3, 3, 1)))
    values = np.array([[1.0, 2, 3], [2, 4, 6], [3, 9, 9]])[tuple(of.levels.T)]
    rows, columns = np.array([2.0, 4, 7]), np.array([2.0, 5, 6])  # means of the levels
    first, second = rows.var(ddof=1) / 3, columns.var(ddof=1) / 3
    variance, df = mean_variance(values, of)
    assert variance == pytest.approx(first + second)
    assert df == pytest.approx((first + second) ** 2 / ((first**2 + second**2) / 2))


def test_independent_seeds_are_students_t() -> None:
    values = np.random.default_rng(0).normal(size=7)
    variance, df = mean_variance(values, independent(7))
    assert (float(variance), float(df)) == pytest.approx((values.var(ddof=1) / 7, 6))
    one = design(codes((7, 1, 1)))
    assert mean_t(values, over=one)[1:3] == pytest.approx(mean_t(values)[1:3])


def test_the_variance_of_one_run_is_recovered() -> None:
    rng, of, sds = np.random.default_rng(1), design(codes((4, 4, 4))), {(0,): 1.0, (2,): 0.5, (0, 1): 0.3}
    found = np.mean([single_variance(drawn(rng, (4, 4, 4), sds, 0.4, of), of) for _ in range(400)])
    assert found == pytest.approx(1.0 + 0.25 + 0.09 + 0.16, rel=0.1)


SHAPES = [(3, 3, 3), (5, 3, 3), (4, 4, 1), (5, 5, 5)]
TRUTHS: dict[str, Sds] = {
    "noise alone": {},
    "initialisation": {(0,): 1.0},
    "order": {(1,): 1.0},
    "all alike": {(0,): 1.0, (1,): 1.0, (2,): 1.0},
    "mixed": {(0,): 0.5, (1,): 0.3, (2,): 0.6},
    "interactions": dict.fromkeys(combinations(range(3), 2), 1.0),
}


def error_rates(shape: tuple[int, ...], sds: Sds, times: int) -> tuple[float, float]:
    """How often two equal methods are told apart at 5 %, by the crossed design and as if runs were independent."""
    rng, of, wrong, naive = np.random.default_rng(sum(shape)), design(codes(shape)), 0, 0
    axes = set(range(3)) if shape[2] > 1 else {0, 1}
    kept = {key: sd for key, sd in sds.items() if set(key) <= axes}
    for _ in range(times):
        made = drawn(rng, shape[: len(axes)], kept, 0.2 if sds else 1.0, of)
        found = mean_t(made, over=of)
        wrong += found.low > 0 or found.high < 0
        naive += stats.ttest_1samp(made, 0).pvalue <= 0.05
    return wrong / times, naive / times


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("truth", TRUTHS)
def test_crossed_seeds_err_at_their_rate(shape: tuple[int, ...], truth: str) -> None:
    times = 1500
    wrong, naive = error_rates(shape, TRUTHS[truth], times)
    assert wrong <= 0.06 + 2.6 * math.sqrt(0.05 * 0.95 / times)
    if truth in ("initialisation", "all alike"):
        assert naive > 0.2  # what they would be as independent runs


def test_main_effects_that_cancel_out_are_no_certainty() -> None:
    """A Latin square: every level of either source has the same mean, and the runs differ all the same."""
    of = design(codes((3, 3, 1)))
    square = ((of.levels[:, 0] + of.levels[:, 1]) % 3 == 0).astype(np.float64)
    variance, df = mean_variance(square, of)
    assert (float(variance), float(df)) == pytest.approx((square.var(ddof=1) / 9, 2))
    assert 1 <= effective(square, of) <= 9
    assert mean_t(square, over=of).has_interval


def test_draws_resample_the_levels_of_each_source() -> None:
    of = design(codes((3, 2, 1)))
    made = of.draws(np.random.default_rng(0), 4000)
    assert made.sum(axis=1) == pytest.approx(np.full(4000, 6.0))
    for column in of.levels.T:  # seeds of one level are drawn together
        for level in range(int(column.max()) + 1):
            share = made[:, column == level].sum(axis=1)
            assert set(np.unique(share)) <= set(range(0, 7))
    assert made.mean(axis=0) == pytest.approx(np.ones(6), abs=0.08)


def test_crossed_wins_count_for_as_many_pairs_as_they_are_worth() -> None:
    of = design(codes((3, 3, 3)))
    by_initialisation = np.where(of.levels[:, 0] == 0, 1.0, 0.0)  # one of three levels decides
    assert effective(by_initialisation, of) <= 3
    assert effective(np.ones(27), of) == 3
    assert effective(np.array([1.0, 0.0] * 4), independent(8)) == 8
    assert verdict(*superiority(np.ones(27), of)) == "not significant"


def wrong_winners(shape: tuple[int, int, int], sds: Sds, times: int) -> float:
    rng, of, wrong = np.random.default_rng(9), design(codes(shape)), 0
    for _ in range(times):
        wrong += verdict(*superiority(drawn(rng, shape, sds, 0.3, of), of)) != "not significant"
    return wrong / times


@pytest.mark.parametrize("truth", ["initialisation", "all alike", "mixed"])
def test_equal_methods_with_crossed_seeds_are_seldom_told_apart_by_wins(truth: str) -> None:
    assert wrong_winners((5, 5, 5), TRUTHS[truth], 600) <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 600)


def main() -> None:
    """Print how often equal methods are told apart, for docs/verdicts.md."""
    for truth, shape in product(TRUTHS, SHAPES):
        wrong, naive = error_rates(shape, TRUTHS[truth], 4000)
        print(f"{truth:15} {' × '.join(map(str, shape)):10} {100 * wrong:4.1f} %  as independent {100 * naive:4.1f} %")


if __name__ == "__main__":
    main()
