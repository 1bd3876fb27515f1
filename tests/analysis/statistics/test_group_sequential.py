"""Levels of several looks: against published constants and a second implementation, by numerical integration; and the
error rates of what is built on them."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy import optimize, stats

from finebench.analysis.claims.levels import kept_levels
from finebench.analysis.statistics.group_sequential import LEAST_ALPHA, ONLY, Interim, Levels, paths, spent

LOOKS = (6, 9, 14, 21, 30)
Spending = Callable[[float], float]


def normal_bounds(shares: Sequence[float], spending: Spending) -> list[float]:
    """z at which each look rejects, two-sided: the recursion of Armitage, McPherson and Rowe (1969) on the sum."""
    made: list[float] = []
    nodes, weights = np.array([0.0]), np.array([1.0])
    before, gone = 0.0, 0.0
    for share in shares:
        sd = np.sqrt(share - before)
        wanted = spending(share) - gone

        def rejected(z: float, share=share, sd=sd, nodes=nodes, weights=weights) -> float:
            end = z * np.sqrt(share)
            return float(weights @ (stats.norm.sf((end - nodes) / sd) + stats.norm.cdf((-end - nodes) / sd)))

        z = optimize.brentq(lambda z, wanted=wanted, rejected=rejected: rejected(z) - wanted, 0.5, 9.0)
        made.append(z)
        x, w = np.polynomial.legendre.leggauss(401)
        new = x * z * np.sqrt(share)
        density = stats.norm.pdf((new[:, None] - nodes) / sd) / sd @ weights
        nodes, weights = new, density * w * z * np.sqrt(share)
        before, gone = share, spending(share)
    return made


def t_bounds(looks: Sequence[int], spending: Spending) -> list[float]:
    """|t| at which each look rejects, by integration.

    With S the sum and Q the sum of squares of n pairs, W = S / √(n Q) depends on neither scale nor, by Basu's theorem,
    on Q, so that the W of the looks are a Markov chain. m more pairs make W' = (W √(n B) + V √(m (1 − B))) / √(n + m)
    with B from Beta(n/2, m/2) and V, a coordinate of a point on a sphere in m dimensions.
    """
    n, made, gone = looks[0], [], spending(looks[0] / looks[-1])
    made.append(float(stats.t.isf(gone / 2, n - 1)))
    x, weights = np.polynomial.legendre.leggauss(101)
    edge = made[0] / np.sqrt(made[0] ** 2 + n - 1)
    nodes = x * edge
    mass = stats.beta.pdf((nodes + 1) / 2, (n - 1) / 2, (n - 1) / 2) / 2 * weights * edge
    for more in looks[1:]:
        m = more - n
        y, u = np.polynomial.legendre.leggauss(120)
        b = stats.beta.ppf((y + 1) / 2, n / 2, m / 2)
        sphere = stats.beta((m - 1) / 2, (m - 1) / 2)

        def v(end, nodes=nodes, b=b, n=n, m=m, more=more):
            return (end * np.sqrt(more) - nodes[:, None] * np.sqrt(n * b)) / np.sqrt(m * (1 - b))

        def rejected(t: float, more=more, mass=mass, u=u, sphere=sphere, v=v) -> float:
            end = t / np.sqrt(t * t + more - 1)
            tails = sphere.sf((v(end) + 1) / 2) + sphere.cdf((v(-end) + 1) / 2)
            return float(mass @ (tails @ (u / 2)))

        wanted = spending(more / looks[-1]) - gone
        made.append(optimize.brentq(lambda t, wanted=wanted, rejected=rejected: rejected(t) - wanted, 0.5, 12.0))
        edge = made[-1] / np.sqrt(made[-1] ** 2 + more - 1)
        new = x * edge
        factor = np.sqrt(more / (m * (1 - b)))
        density = np.array([mass @ (sphere.pdf((v(end) + 1) / 2) / 2 * factor @ (u / 2)) for end in new])
        nodes, mass = new, density * weights * edge
        n, gone = more, spending(more / looks[-1])
    return made


def test_the_integration_gives_published_constants() -> None:
    """Pocock (1977) and O'Brien and Fleming (1979), five looks, two-sided 5 %; Lan's and DeMets' (1983) two curves."""
    fifths = [0.2, 0.4, 0.6, 0.8, 1.0]

    def early(t: float) -> float:
        return float(0.05 * np.log(1 + (np.e - 1) * t))

    def late(t: float) -> float:
        return float(4 * stats.norm.sf(stats.norm.isf(0.0125) / np.sqrt(t)))

    assert normal_bounds(fifths, early) == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=0.002)
    assert normal_bounds(fifths, late) == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=0.002)
    for bounds in ([2.413] * 5, [2.040 * np.sqrt(5 / k) for k in range(1, 6)]):
        assert crossed(fifths, bounds) == pytest.approx(0.05, abs=2e-4)


def test_the_integration_gives_what_rpact_tests() -> None:
    """Kim's and DeMets' (1987) spending, ρ = 2.2, one-sided 3 % at 30, 70 and 100 %, and O'Brien's and Fleming's three
    looks at 2.5 %: the numbers of the R package rpact's own tests (test-f_design_group_sequential.R). Both sides
    together cross twice as often, up to what crosses both."""
    kim_demets = normal_bounds([0.3, 0.7, 1.0], lambda share: float(spent(share, 0.06, rho=2.2)))
    assert kim_demets == pytest.approx([2.8594012, 2.2435708, 1.9735737], abs=1e-4)
    assert crossed([1 / 3, 2 / 3, 1.0], [3.4710914, 2.4544323, 2.0040356]) == pytest.approx(0.05, abs=1e-5)


def crossed(shares: Sequence[float], bounds: Sequence[float]) -> float:
    """The probability that a normal study crosses any of these bounds."""
    nodes, weights, before = np.array([0.0]), np.array([1.0]), 0.0
    for share, z in zip(shares, bounds, strict=True):
        x, w = np.polynomial.legendre.leggauss(401)
        new, sd = x * z * np.sqrt(share), np.sqrt(share - before)
        weights = (stats.norm.pdf((new[:, None] - nodes) / sd) / sd @ weights) * w * z * np.sqrt(share)
        nodes, before = new, share
    return float(1 - weights.sum())


@pytest.mark.parametrize("looks", [LOOKS, pytest.param((6, 12, 18, 24, 30), marks=pytest.mark.slow), (8, 20)])
@pytest.mark.parametrize("alpha", [0.05, 0.10, 0.004])
def test_levels_are_those_of_the_integration(looks: tuple[int, ...], alpha: float) -> None:
    levels = Levels(looks)
    ours = [levels.critical(look, alpha) for look in range(len(looks))]
    theirs = t_bounds(looks, lambda share: float(spent(share, alpha)))
    assert ours == pytest.approx(theirs, rel=0.006 if alpha >= 0.05 else 0.02)


def test_large_waves_have_normal_bounds() -> None:
    looks = (2000, 4000, 10000)
    levels = Levels(looks)
    theirs = normal_bounds([look / looks[-1] for look in looks], lambda share: float(spent(share, 0.05)))
    assert [levels.critical(look, 0.05) for look in range(3)] == pytest.approx(theirs, rel=0.005)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.01])
def test_the_least_p_of_all_looks_is_a_p_value(alpha: float) -> None:
    levels = Levels(LOOKS)
    drawn = np.abs(paths(LOOKS, 200_000, seed=7).t())
    critical = [levels.critical(look, alpha) for look in range(len(LOOKS))]
    share = float((drawn >= critical).any(axis=1).mean())
    assert share == pytest.approx(alpha, abs=4 * np.sqrt(alpha / 200_000))


Shape = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]
SHAPES: dict[str, Shape] = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "heavy tails": lambda rng, size: rng.standard_t(3, size) / np.sqrt(3),
    "skewed": lambda rng, size: (rng.exponential(size=size) - rng.exponential(size=size)) / np.sqrt(2),
    "both collapse": lambda rng, size: (
        (rng.standard_normal(size) + 15 * ((rng.random(size) < 0.1) * 1.0 - (rng.random(size) < 0.1))) / np.sqrt(41.5)
    ),
}
"""Of a pair's difference: of two methods whose runs are so, each by itself."""


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_side_is_crossed_too_often_whatever_the_shape_and_the_share_of_the_examples(
    shape: str, share: float
) -> None:
    """`share`: of the examples in the variance of the last look's mean. They are the same at every look, so that looks
    agree more and the levels are conservative; their error is known here, as it is nearly from hundreds of them."""
    rng, number, levels = np.random.default_rng(17), 10_000, Levels(LOOKS)
    pairs = SHAPES[shape](rng, (number, LOOKS[-1]))
    of_examples = share / (1 - share) / LOOKS[-1]
    moved = rng.normal(0, np.sqrt(of_examples), number)
    for alpha in (0.05, 0.10):
        above = below = np.zeros(number, dtype=bool)
        for look, seeds in enumerate(LOOKS):
            of_seeds = pairs[:, :seeds].var(axis=1, ddof=1) / seeds
            df = (of_seeds + of_examples) / (of_seeds / (seeds - 1) + of_examples / 299)
            t = (pairs[:, :seeds].mean(axis=1) + moved) / np.sqrt(of_seeds + of_examples)
            critical = stats.t.isf(levels.at(look, alpha) / 2, df)
            above, below = above | (t >= critical), below | (t <= -critical)
        for side in (above, below):
            assert side.mean() <= alpha / 2 + 4 * np.sqrt(alpha / 2 / number)


def test_p_and_level_are_inverse_and_p_has_a_floor() -> None:
    levels = Levels(LOOKS)
    for look in range(len(LOOKS)):
        for alpha in (0.05, 0.10, 0.0123):
            assert levels.p(look, levels.at(look, alpha)) == pytest.approx(alpha, rel=1e-9)
        assert levels.p(look, 0.0) == pytest.approx(LEAST_ALPHA)
        assert np.isnan(levels.p(look, float("nan")))
        assert levels.p(look, 1.0) == pytest.approx(1.0)


def test_one_look_asks_what_a_study_of_a_fixed_size_asks() -> None:
    only = Interim(Levels((12,)), 0)
    assert only.level(0.05) == pytest.approx(ONLY.level(0.05))
    assert only.p(0.03) == pytest.approx(ONLY.p(0.03), rel=1e-6)
    assert only.one_sided(0.02) == pytest.approx(ONLY.one_sided(0.02), rel=1e-6)


def test_levels_survive_a_cache_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path / "none"))
    first = kept_levels((6, 10)).critical(1, 0.05)
    assert kept_levels((6, 10)).critical(1, 0.05) == first == Levels((6, 10)).critical(1, 0.05)
    for file in (tmp_path / "none").rglob("*.json"):
        file.write_text("{")
    assert kept_levels((6, 10)).critical(1, 0.05) == first


@pytest.mark.parametrize("looks", [(), (1, 6), (6, 6), (9, 6)])
def test_looks_that_do_not_grow_are_refused(looks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="looks are increasing"):
        Levels(looks)
