"""Superiority, stochastic order, aggregates and ranks: by hand, at the limits, and against scipy and rliable."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, special, stats

from finebench.analysis.statistics.aggregates import interval, iqm_all, iqm_df, profile, widening, within_tasks
from finebench.analysis.statistics.design import independent
from finebench.analysis.statistics.improvement import _variance, improvement
from finebench.analysis.statistics.proportion import binomial_p, clopper_pearson, upper_bound
from finebench.analysis.statistics.ranks import cliques, mean_ranks
from finebench.analysis.statistics.stochastic_order import almost_stochastic_order, violation
from finebench.analysis.statistics.superiority import superiority, verdict

DEEPSIG: list[dict[str, Any]] = json.loads((Path(__file__).parents[1] / "oracles" / "deepsig.json").read_text("utf-8"))
RLIABLE: dict[str, Any] = json.loads((Path(__file__).parents[1] / "oracles" / "rliable.json").read_text("utf-8"))
SCORES = {name: np.array(rows) for name, rows in RLIABLE["scores"].items()}


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("hits", "n"), [(0, 5), (3, 7), (7, 7), (12, 28)])
def test_the_exact_interval_is_scipys(hits: int, n: int) -> None:
    wanted = stats.binomtest(hits, n).proportion_ci(method="exact")
    made = clopper_pearson(hits, n)
    assert (made.low, made.high) == pytest.approx((wanted.low, wanted.high))


@pytest.mark.parametrize(("hits", "n"), [(0, 6), (1, 6), (2, 9), (7, 7), (15, 20), (20, 40)])
def test_the_p_of_a_share_is_scipys_and_agrees_with_the_interval(hits: int, n: int) -> None:
    one_sided = [stats.binomtest(hits, n, alternative=side).pvalue for side in ("greater", "less")]
    assert binomial_p(hits, n) == pytest.approx(min(1.0, 2 * min(one_sided)))
    made = clopper_pearson(hits, n)
    assert (binomial_p(hits, n) <= 0.05) == (made.low > 0.5 or made.high < 0.5)


def test_the_upper_bound_of_a_rate_by_hand() -> None:
    assert upper_bound(0, 6) == pytest.approx(1 - 0.05 ** (1 / 6))  # 39 %
    assert upper_bound(6, 6) == 1.0
    assert upper_bound(2, 20) == pytest.approx(stats.binomtest(2, 20).proportion_ci(0.90, method="exact").high)


def test_half_a_hit_lies_between_its_neighbours() -> None:
    made = clopper_pearson(3.5, 7)
    assert made.value == 0.5
    assert (made.low, made.high) == (clopper_pearson(3, 7).low, clopper_pearson(4, 7).high)
    assert math.isnan(clopper_pearson(0, 0).value)


@pytest.mark.parametrize(
    ("wins", "losses", "wanted"),
    [
        (5, 0, "none: 5 of the 6 pairs that a verdict needs"),
        (6, 0, "meaningful"),
        (5, 1, "not significant"),
        (0, 6, "meaningful"),  # the rule is for whoever is ahead
        (600, 400, "significant, not meaningful"),
        (25, 4, "meaningful"),
    ],
)
def test_verdicts_on_wins(wins: int, losses: int, wanted: str) -> None:
    found = superiority(np.repeat([0.1, -0.1], [wins, losses]), independent(wins + losses))
    assert verdict(*found) == wanted


def test_ties_count_half() -> None:
    made = superiority(np.array([0.1, 0.0, 0.0, -0.1]), independent(4))
    assert made.estimate.value == 0.5
    assert verdict(*superiority(np.array([]), independent(0))) == "no pairs"


def test_no_difference_is_seldom_called_one() -> None:
    draw = rng()
    for pairs in (6, 10, 20, 40):
        said = [verdict(*superiority(draw.normal(size=pairs), independent(pairs))) for _ in range(300)]
        wrong = np.mean([one != "not significant" for one in said])
        assert wrong <= 0.05 + 2.6 * math.sqrt(0.05 * 0.95 / 300)


def test_order_at_the_limits() -> None:
    low, high = np.arange(12.0), np.arange(12.0) + 1
    assert violation(high[None], low[None])[0] == 0
    assert violation(low[None], high[None])[0] == 1
    assert violation(low[None], low[None])[0] == 0.5
    assert math.isnan(almost_stochastic_order(low[:9], high[:9], rng()).high)
    assert almost_stochastic_order(high + 100, low, rng()).high == pytest.approx(0)


def test_order_is_the_integral_over_quantiles() -> None:
    a, b = rng().normal(0.1, 1, 15), np.random.default_rng(1).normal(0, 1.3, 11)
    t = (np.arange(200_000) + 0.5) / 200_000
    gap = np.quantile(a, t, method="inverted_cdf") - np.quantile(b, t, method="inverted_cdf")
    wanted = (gap[gap < 0] ** 2).sum() / (gap**2).sum()
    assert violation(a[None], b[None])[0] == pytest.approx(wanted, rel=1e-3)
    assert violation(a[None], b[None])[0] + violation(b[None], a[None])[0] == pytest.approx(1)


@pytest.mark.parametrize("case", DEEPSIG, ids=lambda case: f"{case['ratio']:.2f}")
def test_order_is_deep_significances(case: dict[str, Any]) -> None:
    a, b = np.array(case["a"]), np.array(case["b"])
    made = almost_stochastic_order(a, b, rng())
    assert made.value == pytest.approx(case["ratio"], abs=0.001)  # it integrates in steps of 0.0005
    assert made.high == pytest.approx(case["bound"], abs=0.03)  # both bootstrap


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_iqm_and_profiles_are_rliables(name: str) -> None:
    assert float(iqm_all(SCORES[name])) == pytest.approx(RLIABLE["iqm"][name], rel=1e-12)
    assert profile(SCORES[name], np.array(RLIABLE["levels"])) == pytest.approx(RLIABLE["profiles"][name])
    draws = iqm_all(within_tasks(SCORES[name], rng(), 20_000))
    made = interval(0.0, draws, 1, "")
    assert [made.low, made.high] == pytest.approx(RLIABLE["iqm_interval"][name], abs=0.003)  # both resample


def test_improvement_is_rliables() -> None:
    for pair, wanted in RLIABLE["improvement"].items():
        assert improvement(SCORES[pair[0]], SCORES[pair[1]]).value == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("p", [0.5, 0.8, 0.96])
def test_the_variance_of_improvement_is_that_of_two_exponential_samples(p: float) -> None:
    """Hanley and McNeil's formula is exact for exponential scores, whose rates give P(A > B) = rate b / (rates)."""
    runs, times = 4, 40_000
    a, b = rng().exponential(p, (times, runs)), np.random.default_rng(1).exponential(1 - p, (times, runs))
    seen = (a[:, :, None] > b[:, None, :]).mean(axis=(1, 2)).var()
    assert seen == pytest.approx(float(_variance(np.array(p), runs, runs)), rel=0.05)


def test_an_interval_of_improvement_by_hand() -> None:
    """One task, three runs each, all of a ahead: the least P with 1 - P = t(4) times its standard error."""
    made = improvement(np.array([[4.0], [5.0], [6.0]]), np.array([[1.0], [2.0], [3.0]]))
    wanted = optimize.brentq(lambda p: 1 - p - 2.776445 * math.sqrt(_variance(np.array(p), 3, 3)), 0.05, 0.999)
    assert made.value == 1
    assert made.low == pytest.approx(wanted, abs=0.01)
    assert made.high == pytest.approx(1, abs=1e-3)


def test_an_interval_of_improvement_over_two_tasks_by_hand() -> None:
    """The runs' own variance is the greater one here; half the tasks' sum, and t with the runs of both tasks."""
    a, b = np.array([[0.0, 3.0], [10.0, 13.0], [11.0, -7.0]]), np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 4.0]])
    wins = (a[:, None] > b[None]).mean(axis=(0, 1))
    assert wins.tolist() == pytest.approx([6 / 9, 5 / 9])
    placed = (9 * wins + 0.5) / 10
    rows = [[0, 1, 1], [2 / 3, 1, 0]]  # how much of b each run of a beats
    columns = [[2 / 3] * 3, [2 / 3, 2 / 3, 1 / 3]]  # how much of a beats each run of b
    seen = sum(np.var(of, ddof=1) / 3 for of in (*rows, *columns))
    raised = seen / _variance(placed, 3, 3).sum()
    assert raised > 1

    def edge(shift: float) -> float:
        moved = special.expit(special.logit(placed) + shift)
        return abs(wins.mean() - moved.mean()) - 2.306004 * math.sqrt(raised * _variance(moved, 3, 3).sum()) / 2

    ends = [special.expit(special.logit(placed) + optimize.brentq(edge, *at)).mean() for at in ((-9, 0), (0, 9))]
    made = improvement(a, b)
    assert [made.low, made.high] == pytest.approx(ends, abs=0.003)


def test_improvement_the_other_way_round_and_of_ties() -> None:
    there, back = improvement(SCORES["a"], SCORES["c"]), improvement(SCORES["c"], SCORES["a"])
    assert [there.low, there.high] == pytest.approx([1 - back.high, 1 - back.low], abs=1e-9)
    ties = improvement(np.ones((3, 2)), np.ones((3, 2)))
    assert ties.value == 0.5
    assert ties.low < 0.3
    assert ties.high > 0.7
    assert not improvement(np.ones((1, 2)), np.ones((1, 2))).has_interval


def test_widening_by_hand() -> None:
    assert widening(3, 2) == pytest.approx(math.sqrt(1.5) * 4.3027 / 1.95996, rel=1e-4)


def test_degrees_of_freedom_of_an_iqm_come_from_the_tasks_in_the_middle() -> None:
    near = np.array([[0.0, 0.1], [1.0, 1.1], [2.0, 2.1], [3.0, 3.1]])
    assert iqm_df(near) == pytest.approx(2 * 3)
    far = np.arange(3) * 10 + np.arange(4.0)[:, None] / 10
    shares = np.array([1, 4, 1]) / 6  # of twelve runs the six in the middle
    assert iqm_df(far) == pytest.approx(3 * (shares**2).sum() ** 2 / (shares**4).sum())
    noisy = near * [1, 1000]
    assert iqm_df(noisy) == pytest.approx(3, abs=0.01)
    assert iqm_df(np.ones((4, 2))) == 6


def test_ranks_by_scipy_and_by_hand() -> None:
    table = rng().normal(size=(8, 4)) + np.arange(4) * 0.4
    made = mean_ranks(table)
    chi = stats.friedmanchisquare(*table.T).statistic
    f = 7 * chi / (8 * 3 - chi)
    assert made.statistic == pytest.approx(f)
    assert made.p == pytest.approx(stats.f.sf(f, 3, 21))
    assert made.critical == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 8)), rel=1e-3)  # Demšar, table 5
    assert made.means.sum() == pytest.approx(10)
    tied = np.round(table)
    assert mean_ranks(tied).statistic == pytest.approx(7 * (c := stats.friedmanchisquare(*tied.T).statistic) / (24 - c))


def test_ranks_at_the_limits() -> None:
    same = mean_ranks(np.tile([1.0, 2.0, 3.0], (5, 1)))
    assert same.means.tolist() == [3, 2, 1]
    assert same.p == 0
    assert mean_ranks(np.zeros((5, 3))).p == pytest.approx(1)
    with pytest.raises(ValueError, match="4 tasks and 3 methods"):
        mean_ranks(np.zeros((4, 3)))


def test_methods_within_the_critical_difference_are_grouped() -> None:
    assert cliques(np.array([1.0, 3.5, 1.5, 2.4]), 1.0) == [(0, 2), (2, 3)]
    assert cliques(np.array([1.0, 3.0]), 1.0) == []
