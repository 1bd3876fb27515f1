"""Variance shares against planted ones and statsmodels, expected best against every subset, agreement by hand."""

import math
from itertools import chain, combinations

import numpy as np
import pytest

from finebench.analysis.statistics.agreement import agreement
from finebench.analysis.statistics.best_of import expected_best
from finebench.analysis.statistics.shares import mean_squares, shares

TERMS = list(chain.from_iterable(combinations(range(3), k) for k in (1, 2, 3)))
PLANTED = dict(zip(TERMS, (4.0, 1.0, 2.0, 0.5, 0.25, 0.0, 1.0), strict=True))


def study(rng: np.random.Generator, shape: tuple[int, ...], planted: dict[tuple[int, ...], float]) -> np.ndarray:
    made = np.zeros(shape)
    for term, variance in planted.items():
        size = [n if axis in term else 1 for axis, n in enumerate(shape)]
        made = made + math.sqrt(variance) * rng.normal(size=size)
    return made


def test_components_by_hand() -> None:
    scores = np.array([[1.0, 3.0], [5.0, 7.0]])  # rows differ by 4, columns by 2, nothing interacts
    assert mean_squares(scores) == {(0,): (16.0, 1), (1,): (4.0, 1), (0, 1): (0.0, 1)}
    made = {one.term: one for one in shares(scores, np.random.default_rng(0))}
    assert made[(0,)].variance == 8
    assert made[(1,)].variance == 2
    assert made[(0,)].share == pytest.approx(0.8)


def test_a_negative_component_is_given_as_zero_and_said() -> None:
    scores = np.array([[1.0, 0.0], [0.0, 1.0]])
    rows = shares(scores, np.random.default_rng(0))
    assert [one.negative for one in rows] == [True, True, False]
    assert [one.variance for one in rows] == [0, 0, 1]
    assert rows[-1].share == 1


def test_one_factor_is_its_variance() -> None:
    scores = np.random.default_rng(0).normal(size=9)
    (only,) = shares(scores, np.random.default_rng(0))
    assert only.variance == pytest.approx(scores.var(ddof=1))
    assert only.share == 1


def test_shares_recover_what_was_planted_and_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    found: dict[tuple[int, ...], list[tuple[float, bool, bool]]] = {}
    total = sum(PLANTED.values())
    for _ in range(250):
        for one in shares(study(rng, (5, 4, 3), PLANTED), rng):
            true = PLANTED[one.term]
            inside = one.low <= true <= one.high, one.share_low <= true / total <= one.share_high
            found.setdefault(one.term, []).append((one.variance, *inside))
    for term, rows in found.items():
        variance, value, share = np.mean(np.array(rows, dtype=float), axis=0)
        assert variance == pytest.approx(PLANTED[term], abs=0.15 + 0.2 * PLANTED[term])
        assert value >= 0.91
        assert share >= 0.91


def test_components_are_remls_where_none_is_negative() -> None:
    statsmodels = pytest.importorskip("statsmodels.formula.api", reason="statsmodels is a development oracle")
    import pandas as pd

    scores = study(np.random.default_rng(4), (6, 5), {(0,): 4.0, (1,): 1.0, (0, 1): 0.5})
    frame = pd.DataFrame([{"y": scores[i, j], "a": i, "b": j} for i in range(6) for j in range(5)])
    model = statsmodels.mixedlm(
        "y ~ 1", frame, groups=np.ones(30), vc_formula={"a": "0 + C(a)", "b": "0 + C(b)"}, re_formula="0"
    )
    fitted = model.fit(reml=True, method="lbfgs")
    made = {one.term: one for one in shares(scores, np.random.default_rng(0))}
    assert not any(one.negative for one in made.values())
    assert [made[0,].variance, made[1,].variance] == pytest.approx(list(fitted.vcomp), rel=0.02)
    assert made[0, 1].variance == pytest.approx(float(fitted.scale), rel=0.02)


def test_expected_best_is_the_mean_over_every_subset() -> None:
    rng = np.random.default_rng(0)
    select, score = rng.normal(size=7), rng.normal(size=7)
    made = expected_best(select, score)
    for n in range(1, 8):
        best = [score[max(chosen, key=lambda i: select[i])] for chosen in combinations(range(7), n)]
        assert made[n - 1] == pytest.approx(np.mean(best))
    assert expected_best(select)[-1] == pytest.approx(select.max())


def test_expected_best_is_unbiased_where_drawing_with_replacement_is_not() -> None:
    rng, n = np.random.default_rng(1), 6
    true = rng.uniform(size=(20_000, n)).max(axis=1).mean()
    samples = rng.uniform(size=(3000, 12))
    ours = np.mean([expected_best(row)[n - 1] for row in samples])
    share = (np.arange(1, 13) / 12) ** n
    replaced = (np.sort(samples, axis=1) @ np.diff(share, prepend=0)).mean()
    assert ours == pytest.approx(true, abs=0.005)
    assert abs(replaced - true) > 4 * abs(ours - true)


def test_churn_by_hand() -> None:
    labels = np.array([1.0, 1, 0, 0])
    made = agreement(labels, np.array([[1.0, 1, 0, 1], [1.0, 0, 0, 1], [1.0, 1, 0, 0]]), classes=True)
    assert (made.disagreement, made.least, made.most) == pytest.approx((1 / 3, 0.25, 0.5))
    assert made.unanimous == 0.5
    assert made.both_wrong == pytest.approx(2 * 1 / (1 + 2 + 1 + 0 + 2 + 0))
    assert made.pairs == 3


def test_numbers_differ_by_the_labels_spread() -> None:
    labels = np.array([0.0, 2.0])  # standard deviation 1
    made = agreement(labels, np.array([[0.0, 2.0], [0.05, 2.5]]), classes=False)
    assert made.disagreement == pytest.approx(math.sqrt((0.05**2 + 0.5**2) / 2))
    assert made.unanimous == 0.5
    assert math.isnan(made.both_wrong)
