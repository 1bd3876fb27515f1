"""Intervals over seeds and examples: by hand, at the limits, and whether they cover a known truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from finebench.analysis.statistics.crossed import SeedValues, components, crossed_mean, degrees, p_value
from finebench.analysis.statistics.design import independent
from finebench.analysis.statistics.located import of_pairs
from finebench.analysis.statistics.mean import mean_t
from finebench.analysis.statistics.paired import difference, paired_p
from finebench.analysis.statistics.resample import counts
from finebench.analysis.statistics.reselect import Choice, alone, reselected
from finebench.analysis.statistics.sample import Pairs, Sample, pair

Draw = Callable[[np.random.Generator, int], np.ndarray]
EXAMPLES = 150


def scored(values: np.ndarray, moved: np.ndarray | None = None, n: int = 0, choice: Choice | None = None) -> SeedValues:
    """Independent seeds."""
    return SeedValues(values, independent(values.size), moved, n, () if choice is None else ((choice, None),))


def hits(rng: np.random.Generator, seeds: int, effects: Draw) -> np.ndarray:
    """Right or wrong [S, N]: seeds and examples each shift a latent score that has noise of its own."""
    latent = effects(rng, seeds)[:, None] + rng.normal(size=EXAMPLES) + 0.7 * rng.normal(size=(seeds, EXAMPLES))
    return (latent + 1.3 > 0).astype(float)


def normal(rng: np.random.Generator, seeds: int) -> np.ndarray:
    return rng.normal(0, 0.2, seeds)


def skewed(rng: np.random.Generator, seeds: int) -> np.ndarray:
    return 0.2 * (1 - rng.exponential(size=seeds))  # most seeds a little above, some far below


def truth(effects: Draw) -> float:
    """The mean over all seeds and examples, by quadrature over the seeds' effect."""
    grid = (np.arange(20000) + 0.5) / 20000
    effect = 0.2 * stats.norm.ppf(grid) if effects is normal else 0.2 * (1 - stats.expon.ppf(grid))
    return float(stats.norm.cdf((1.3 + effect) / math.sqrt(1 + 0.49)).mean())


def covered(seeds: int, effects: Draw, paired: bool, draws: int) -> float:
    """Share of simulated studies whose 95 % interval holds the truth."""
    rng = np.random.default_rng([seeds, paired, effects is normal])
    (weights,) = counts(EXAMPLES)
    target, inside = 0.0 if paired else truth(effects), 0
    for _ in range(draws):
        values = hits(rng, seeds, effects)
        if paired:
            values = values - hits(rng, seeds, effects)
        made = crossed_mean(scored(values.mean(axis=1), weights @ values.T / EXAMPLES, EXAMPLES))
        inside += made.low <= target <= made.high
    return inside / draws


CASES = pytest.mark.parametrize(
    ("effects", "paired"), [(normal, False), (normal, True), (skewed, False), (skewed, True)]
)


@CASES
@pytest.mark.parametrize("seeds", [3, 5, 10, 25])
def test_the_interval_covers(seeds: int, effects: Draw, paired: bool) -> None:
    draws = 400
    error = 2.6 * math.sqrt(0.05 * 0.95 / draws)
    assert 0.92 - error / 2 <= covered(seeds, effects, paired, draws) <= 0.97 + error / 2


@pytest.mark.slow
@CASES
@pytest.mark.parametrize("seeds", [3, 5, 10, 25])
def test_the_interval_covers_in_many_draws(seeds: int, effects: Draw, paired: bool) -> None:
    noise = 2 * math.sqrt(0.05 * 0.95 / 2000)
    assert 0.92 - noise <= covered(seeds, effects, paired, 2000) <= 0.97 + noise


def replicated(values: np.ndarray) -> SeedValues:
    (weights,) = counts(values.shape[1])
    return scored(values.mean(axis=1), weights @ values.T / values.shape[1], values.shape[1])


def test_components_recover_planted_variances() -> None:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(60):
        values = 0.1 * rng.normal(size=(6, 1)) + 2 * rng.normal(size=(1, 200)) + rng.normal(size=(6, 200))
        found.append(components(replicated(values)))
    assert np.mean([one.interaction for one in found]) == pytest.approx(1 / 200, rel=0.1)
    assert np.mean([one.examples for one in found]) == pytest.approx(4 / 200, rel=0.15)
    assert np.mean([one.one_seed for one in found]) == pytest.approx(0.01 + 1 / 200, rel=0.2)


def test_without_predictions_it_is_students_t_and_says_so() -> None:
    scores = np.array([0.8, 0.82, 0.85])
    made, wanted = crossed_mean(scored(scores)), mean_t(scores)
    assert made[:4] == pytest.approx(wanted[:4])
    assert made.method == "Student t, 95%, 3 seeds; not over examples: no predictions"


def test_one_seed_and_equal_seeds_get_no_interval() -> None:
    assert "one seed" in crossed_mean(scored(np.array([0.5]))).method
    same = crossed_mean(scored(np.full(3, 0.5), np.full((1000, 3), 0.5), 100))
    assert not same.has_interval
    assert "all 3 seeds scored the same" in same.method


def test_seeds_that_tie_by_chance_still_have_the_examples_noise() -> None:
    values = np.zeros((3, 100))
    for seed in range(3):
        values[seed, seed * 5 : 80 + seed * 5] = 1  # 0.8 each, on different examples
    made = crossed_mean(replicated(values))
    shared = np.array([0.75, 0.70, 0.75]) - 0.8**2  # covariances of right answers: on how many both are right
    wanted = stats.t.ppf(0.975, 99) * math.sqrt(shared.mean() / 99)
    assert made.high - made.low == pytest.approx(2 * wanted, rel=0.05)


@pytest.mark.parametrize("level", [0.9, 0.95])
@pytest.mark.parametrize("seeds", [3, 5, 6, 10, 25])
def test_the_degrees_of_freedom_hold_at_any_share_of_the_examples(level: float, seeds: int) -> None:
    """Normal seeds of variance 1 and `examples` times as much noise of the examples in the mean."""
    rng, draws, rates = np.random.default_rng(seeds), 20_000, []
    for examples in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0):
        of_seeds = rng.chisquare(seeds - 1, draws) / (seeds - 1) / seeds
        of_examples = examples / seeds * rng.chisquare(299, draws) / 299
        mean = rng.normal(0, math.sqrt((1 + examples) / seeds), draws)
        df = np.array([degrees(x, seeds - 1.0, y, 300) for x, y in zip(of_seeds, of_examples, strict=True)])
        half = stats.t.ppf((1 + level) / 2, df) * np.sqrt(of_seeds + of_examples)
        rates.append(float(np.mean(np.abs(mean) <= half)))
    noise = 3 * math.sqrt(level * (1 - level) / draws)
    assert min(rates) >= level - 0.01 - noise
    assert max(rates) <= level + 0.02 + noise


def test_degrees_of_freedom_by_hand() -> None:
    assert degrees(2.0, 2, 0.0, 0) == 2
    assert degrees(0.0, 2, 2.0, 100) == pytest.approx(99)
    assert degrees(1.0, 2, 3.0, 101) == pytest.approx(1 / (0.25 / 2 + 0.75 / 100))
    assert degrees(0.0, 2, 0.0, 0) == 2


@pytest.mark.parametrize("seeds", [8, 30])
def test_p_and_interval_agree_at_any_number_of_seeds(seeds: int) -> None:
    rng = np.random.default_rng(5)
    values = hits(rng, seeds, normal) - hits(rng, seeds, normal)
    p = p_value(replicated(values))
    made = crossed_mean(replicated(values), level=1 - p)
    assert min(abs(made.low), abs(made.high)) == pytest.approx(0, abs=1e-9)
    scores = values.mean(axis=1)
    assert p_value(scored(scores)) == pytest.approx(stats.ttest_1samp(scores, 0).pvalue)
    assert math.isnan(p_value(scored(np.zeros(4))))


def test_a_choice_that_never_changes_adds_nothing() -> None:
    scores = np.array([[0.8, 0.85, 0.9], [0.1, 0.2, 0.3]])
    choice = Choice(scores, scores, 0)
    made = crossed_mean(scored(scores[0], choice=choice))
    assert made[:4] == pytest.approx(mean_t(scores[0])[:4])
    assert made.method.endswith("the same in 100%")


def test_a_choice_that_wavers_widens_the_interval() -> None:
    select = np.array([[0.7, 0.9, 0.8], [0.81, 0.79, 0.8]])
    scores = np.array([[0.7, 0.72, 0.71], [0.5, 0.52, 0.51]])
    made = crossed_mean(scored(scores[0], choice=Choice(select, scores, 0)))
    plain = mean_t(scores[0])
    assert made.value == plain.value
    assert made.high - made.low > 3 * (plain.high - plain.low)


def test_reselection_by_hand() -> None:
    choice = Choice(np.array([[0.9, 0.1], [0.4, 0.5]]), np.array([[0.8, 0.6], [0.3, 0.2]]), 0)
    made = reselected([(choice, None)], np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]))
    assert made.moves == pytest.approx([0.0, 0.0, 0.2 - 0.6])  # only seed 2 alone would choose the second
    assert made.same == pytest.approx(2 / 3)
    again, fixed = np.array([0.8, 0.7, 0.2]), np.array([0.8, 0.7, 0.6])
    assert made.variance == pytest.approx((again.var() - fixed.var()) * 2)


def test_repeating_the_choice_covers_where_ignoring_it_does_not() -> None:
    """Three learning rates, five seeds that choose and score: the truth is what such a study scores on average."""
    rng, true = np.random.default_rng(5), np.array([0.80, 0.77, 0.70])
    made, plain, chosen = [], [], []
    for _ in range(300):
        scores, select = true[:, None] + 0.015 * rng.normal(size=(3, 5)), true[:, None] + 0.04 * rng.normal(size=(3, 5))
        best = int(select.mean(axis=1).argmax())
        made.append(crossed_mean(scored(scores[best], choice=Choice(select, scores, best))))
        plain.append(mean_t(scores[best]))
        chosen.append(true[best])
    target = float(np.mean(chosen))
    with_choice, without = (np.mean([one.low <= target <= one.high for one in ends]) for ends in (made, plain))
    assert with_choice >= 0.92
    assert without < 0.90


def test_reselection_of_a_difference_by_hand() -> None:
    a = Choice(np.array([[0.9, 0.1], [0.4, 0.5]]), np.array([[0.8, 0.6], [0.3, 0.2]]), 0)
    b = Choice(np.array([[0.1, 0.1], [0.2, 0.0]]), np.array([[0.7, 0.5], [0.1, 0.4]]), 1)
    made = reselected([(a, b)], np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]]))
    # a chooses its 1st, 1st, 2nd; b its 2nd, then its 1st of two equals, then its 1st
    again, fixed = np.array([0.8 - 0.1, 0.7 - 0.6, 0.2 - 0.5]), np.array([0.8 - 0.1, 0.7 - 0.25, 0.6 - 0.4])
    assert made.moves == pytest.approx(again - fixed)
    assert made.same == pytest.approx(1 / 3)
    assert made.variance == pytest.approx((again.var() - fixed.var()) * 2)


def test_what_was_not_chosen_is_a_choice_among_one() -> None:
    a = Choice(np.array([[0.9, 0.1], [0.4, 0.5]]), np.array([[0.8, 0.6], [0.3, 0.2]]), 0)
    drawn = np.array([[2.0, 0.0], [1.0, 1.0], [0.0, 2.0]])
    against, without = reselected([(a, alone(np.array([0.1, 0.1])))], drawn), reselected([(a, None)], drawn)
    assert against.moves == pytest.approx(without.moves)
    assert (against.variance, against.same) == pytest.approx((without.variance, without.same))


def chosen_pair(rng: np.random.Generator, seeds: int, true: np.ndarray) -> tuple[Pairs, float]:
    """Two methods, each tuned over the rates of `true` on the seeds that score it; and the difference of the chosen."""
    made, means = [], []
    for name in "ab":
        shape = (true.size, seeds)
        scores, select = true[:, None] + 0.015 * rng.normal(size=shape), true[:, None] + 0.04 * rng.normal(size=shape)
        best = int(select.mean(axis=1).argmax())
        choice = Choice(select, scores, best)
        fixed = np.zeros(seeds, dtype=bool)
        made.append(Sample(name, "mcc", np.arange(seeds), scores[best], fixed, why="no predictions", choice=choice))
        means.append(true[best])
    return pair(*made), float(means[0] - means[1])


@pytest.mark.parametrize("seeds", [5, 10])
def test_a_difference_of_tuned_methods_covers_where_ignoring_the_choice_does_not(seeds: int) -> None:
    """Both methods are the same: the truth of what such a study finds on average is no difference."""
    rng, true = np.random.default_rng(11), np.array([0.80, 0.77, 0.70])
    with_choice, without, times = 0, 0, 300
    for _ in range(times):
        both, _ = chosen_pair(rng, seeds, true)
        made, plain = difference(both), mean_t(both.difference)
        with_choice += made.low <= 0 <= made.high
        without += plain.low <= 0 <= plain.high
    assert with_choice / times >= 0.92
    assert without < with_choice
    if seeds == 5:
        assert without / times < 0.92


def test_p_interval_and_located_agree_where_the_choice_is_repeated() -> None:
    both, _ = chosen_pair(np.random.default_rng(4), 6, np.array([0.80, 0.79]))
    p = paired_p(both)
    made = difference(both, level=1 - p)
    assert min(abs(made.low), abs(made.high)) == pytest.approx(0, abs=1e-9)
    found = of_pairs([both])
    assert 2 * min(found.p_above(0), found.p_below(0)) == pytest.approx(p)
    assert p > stats.ttest_1samp(both.difference, 0).pvalue
    assert components(both.scored).of_seeds == pytest.approx(6 * found.se**2)


def test_pairing_keeps_the_choice_on_common_seeds() -> None:
    rng = np.random.default_rng(1)
    select, scores = rng.random((2, 4)), rng.random((2, 4))
    fixed = np.zeros(4, dtype=bool)
    a = Sample("a", "mcc", np.array([1, 2, 3, 4]), scores[1], fixed, choice=Choice(select, scores, 1))
    b = Sample("b", "mcc", np.array([2, 4, 5, 6]), rng.random(4), fixed)
    both = pair(a, b)
    assert both.choice is not None
    assert both.against is not None
    assert both.choice.select == pytest.approx(select[:, [1, 3]])
    assert both.choice.scores[both.choice.chosen] == pytest.approx(both.a)
    assert both.against.scores[0] == pytest.approx(both.b)
    assert pair(b, b).choice is None
