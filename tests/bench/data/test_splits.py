"""Draws are nested, disjoint, stratified, the right size, and the same for ever."""

import hashlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from finebench.bench.data.splits import Draw, _pattern, _strata, draw
from finebench.bench.util.errors import DataError

COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=12).map(tuple)
FRACTIONS = (0.1, 0.3, 1.0)


def labels_of(n: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, n)


def drawn(
    labels: np.ndarray,
    fraction: float,
    seed: int = 1,
    *,
    regression: bool = False,
    select: float = 0.1,
    at_least: int = 50,
    scale: bool = True,
) -> Draw:
    return draw(labels, regression, fraction, seed, select, at_least, scale)


@given(COUNTS)
def test_every_prefix_of_a_pattern_is_within_one_row_of_its_share(counts: tuple[int, ...]) -> None:
    pattern, n = _pattern(counts), sum(counts)
    assert np.bincount(pattern, minlength=len(counts)).tolist() == list(counts)
    places = np.arange(1, n + 1)
    for stratum, count in enumerate(counts):
        assert np.abs(np.cumsum(pattern == stratum) - places * count / n).max() < 1


def test_a_rare_stratum_comes_early() -> None:
    assert (_pattern((500, 495, 5)) == 2).argmax() == 0


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(300, 3000),
    classes=st.integers(2, 5),
    regression=st.booleans(),
    seed=st.integers(0, 2**40),
    at_least=st.integers(1, 80),
    select=st.sampled_from([0.05, 0.1, 0.3]),
    scale=st.booleans(),
)
def test_fit_is_nested_and_never_shares_a_row_with_select(
    n: int, classes: int, regression: bool, seed: int, at_least: int, select: float, scale: bool
) -> None:
    labels = labels_of(n, classes).astype(float) if regression else labels_of(n, classes)
    kwargs = {"regression": regression, "select": select, "at_least": at_least, "scale": scale}
    try:
        parts = [drawn(labels, f, seed, **kwargs) for f in FRACTIONS]
    except DataError:
        reject()  # too few rows to choose on for so many classes
    for small, large in pairwise(parts):
        assert np.isin(small.fit, large.fit).all()
        assert len(small.fit) < len(large.fit)
    for part in parts:
        for rows in (part.fit, part.select):
            assert (np.diff(rows) > 0).all()
            assert rows.dtype == np.int64
        assert not np.intersect1d(part.fit, part.select).size
    assert len(parts[-1].fit) + len(parts[-1].select) == n


@given(n=st.integers(200, 4000), fraction=st.floats(0.05, 1.0), at_least=st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_sizes_follow_the_fraction_and_the_floor(n: int, fraction: float, at_least: int) -> None:
    found = drawn(np.arange(n) / n, fraction, at_least=at_least, regression=True)
    size = len(found.fit) + len(found.select)
    assert abs(size - fraction * n) <= 1
    assert len(found.select) >= min(at_least, size // 2)
    assert len(found.select) <= max(round(0.1 * n), min(at_least, n // 2))


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_both_parts_are_stratified(fraction: float) -> None:
    labels = np.repeat([0, 1, 2], [1000, 400, 100])
    found = drawn(labels, fraction, seed=7)
    for rows, slack in ((found.fit, 2), (found.select, 3)):  # the remainder of two orders, and of three, each within 1
        share = np.bincount(labels[rows], minlength=3)
        assert np.abs(share - np.array([1000, 400, 100]) / 1500 * len(rows)).max() < slack


def test_regression_is_stratified_by_score() -> None:
    labels = np.random.default_rng(1).random(2000) ** 3
    found = drawn(labels, 0.1, regression=True)
    deciles = np.quantile(labels, np.linspace(0, 1, 11))
    counts = np.histogram(labels[found.fit], deciles)[0]
    assert np.abs(counts - len(found.fit) / 10).max() <= 2


def test_equal_scores_share_a_stratum() -> None:
    labels = np.repeat([0.0, 2.5, 5.0], [500, 10, 490])
    strata = _strata(labels, regression=True)
    assert all(len(set(strata[labels == value].tolist())) == 1 for value in np.unique(labels))
    assert set(strata.tolist()) == set(range(strata.max() + 1))


def test_without_scale_select_is_the_same_at_every_fraction() -> None:
    labels = labels_of(1000, 2)
    parts = [drawn(labels, f, seed, scale=False) for f in FRACTIONS for seed in (1, 2)]
    assert all(np.array_equal(part.select, parts[0].select) for part in parts)
    assert len(parts[0].select) == 100


def test_at_fraction_one_the_seed_changes_nothing_and_below_it_does() -> None:
    labels = labels_of(1000, 2)
    whole, other = drawn(labels, 1.0, 1), drawn(labels, 1.0, 2)
    assert np.array_equal(whole.fit, other.fit)
    assert np.array_equal(whole.select, other.select)
    assert not np.array_equal(drawn(labels, 0.5, 1).fit, drawn(labels, 0.5, 2).fit)


def test_a_scaled_select_of_a_small_fraction_takes_no_more_than_half() -> None:
    found = drawn(np.arange(1000) % 2, 0.05)
    assert (len(found.fit), len(found.select)) == (25, 25)


def test_draws_are_the_same_for_ever() -> None:
    """Stored results name their rows by this; a change of these digests is a new version of every task."""
    labels = np.arange(3000) % 7 % 3
    digest = hashlib.sha256()
    for fraction in (0.1, 0.3, 1.0):
        for seed in (1, 2):
            for regression in (False, True):
                found = drawn(labels, fraction, seed, regression=regression)
                digest.update(found.fit.astype("<i8").tobytes() + found.select.astype("<i8").tobytes())
    assert drawn(labels, 0.01, 1, at_least=5).fit.tolist() == GOLDEN_ROWS
    assert digest.hexdigest() == GOLDEN


GOLDEN_ROWS = [203, 217, 260, 883, 923, 1064, 1144, 1185, 1187, 1298, 1310, 1478, 1638]
GOLDEN_ROWS += [1706, 1755, 1941, 1956, 2173, 2213, 2239, 2504, 2572, 2595, 2626, 2903]
GOLDEN = "2502b8de618c58920298b8c39339a556d596ce1ed54c2e7ea97ce50d86431230"


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.5, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(DataError, match=r"'rte': a fraction is above 0 and at most 1"):
        draw(labels_of(100, 2), False, fraction, 1, 0.1, 50, True, task="rte")


def test_a_fraction_too_small_for_a_class_names_the_smallest_that_is_not() -> None:
    labels = np.repeat([0, 1, 2], [500, 480, 3])
    with pytest.raises(DataError, match=r"fraction 0\.001 of task 'rte' leaves no row of class .* about 0\.006"):
        draw(labels, False, 0.001, 1, 0.1, 50, True, task="rte")
    for seed in range(20):
        draw(labels, False, 0.006, seed, 0.1, 50, True, task="rte")


def test_a_class_of_one_row_is_refused_by_name_at_every_fraction() -> None:
    labels = np.repeat([0, 1], [500, 1])
    with pytest.raises(DataError, match=r"no row of class 'rare' to fit on.*no larger fraction would do either"):
        draw(labels, False, 0.5, 1, 0.1, 50, True, names=("common", "rare"))


def test_a_share_to_select_on_that_would_do_is_named() -> None:
    """77 classes of 8 rows: a tenth of them is too few rows to select on, at any fraction."""
    labels = np.repeat(np.arange(77), 8)
    with pytest.raises(DataError, match=r"to select on\); select\.fraction 0\.\d+ would do at this fraction") as caught:
        draw(labels, False, 1.0, 1, 0.1, 50, True)
    share = float(str(caught.value).split("select.fraction ")[1].split()[0])
    assert len(np.unique(labels[draw(labels, False, 1.0, 1, share, 50, True).select])) == 77
    with pytest.raises(DataError, match=r"no larger fraction would do without select\.fraction 0\.\d+$"):
        draw(labels, False, 0.1, 1, 0.1, 50, True)


@pytest.mark.parametrize("fraction", [0.05, 0.3])
def test_a_seed_changes_rows_and_no_counts(fraction: float) -> None:
    """So that a plan has to look at one seed alone."""
    labels = np.repeat([0, 1, 2], [500, 120, 9])
    draws = [draw(labels, False, fraction, seed, 0.1, 20, True) for seed in range(1, 20)]
    for part in ("fit", "select"):
        assert len({tuple(getattr(one, part).tolist()) for one in draws}) > 1
        assert len({tuple(np.bincount(labels[getattr(one, part)], minlength=3)) for one in draws}) == 1
