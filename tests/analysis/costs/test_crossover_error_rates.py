"""How often a report says that two methods swap places where they do not, by simulation.

`python -m tests.analysis.costs.test_crossover_error_rates` prints the rates that stand in docs/verdicts.md.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
import pytest

from finebench.analysis.costs.crossovers import ALPHA, Crossing, swap

POINTS, AXES = 10, 3
STEPS = 20.0 * np.arange(1, POINTS + 1)

Scene = tuple[int, int, float, float]
"""Methods, seeds, correlation of neighbouring evaluations' noise, and by how many sd the first is ahead at the end."""

SCENES: list[Scene] = [
    (methods, seeds, rho, late) for methods in (2, 4) for seeds in (3, 6, 10) for rho in (0.0, 0.9) for late in (0, 2)
]


def curves(rng: np.random.Generator, scene: Scene) -> np.ndarray:
    """Scores [method, seed, point] of equal methods; with `late`, the first one is ahead in the second half alone."""
    methods, seeds, rho, late = scene
    fresh = rng.normal(size=(methods, seeds, POINTS))
    made = fresh.copy()
    for point in range(1, POINTS):
        made[..., point] = rho * made[..., point - 1] + math.sqrt(1 - rho**2) * fresh[..., point]
    made[0, :, POINTS // 2 :] += late
    return made


def crossings(made: np.ndarray) -> Iterator[Crossing]:
    """Every crossing of two of the curves [method, seed, point], in a report that shows three axes of each couple."""
    tests = math.comb(len(made), 2) * AXES * POINTS
    for a, b in itertools.combinations(made, 2):
        found = swap(STEPS, a - b, tests)
        if found is not None:
            yield found


def rates(scene: Scene, times: int) -> tuple[float, float, float]:
    """Shares of `times` studies with a crossing, with one whose interval is closed, with one that is shown."""
    rng = np.random.default_rng(14)
    counts = np.zeros(3)
    for _ in range(times):
        found = list(crossings(curves(rng, scene)))
        closed = any(math.isfinite(one.root.low) and math.isfinite(one.root.high) for one in found)
        counts += (bool(found), closed, any(one.shown for one in found))
    crossed, ended, shown = counts / times
    return float(crossed), float(ended), float(shown)


@pytest.mark.parametrize("scene", SCENES[2::6])
def test_methods_that_do_not_swap_places_are_rarely_listed(scene: Scene) -> None:
    crossed, _, shown = rates(scene, 150)
    assert crossed > 0.5  # the mean curves cross in most studies, and used to be listed
    assert shown <= ALPHA / 2 + 0.02  # within simulation noise


@pytest.mark.slow
@pytest.mark.parametrize("scene", SCENES)
def test_no_report_lists_too_many(scene: Scene) -> None:
    assert rates(scene, 1000)[2] <= ALPHA / 2 + 0.01


def test_a_swap_far_beyond_the_noise_is_listed() -> None:
    rng = np.random.default_rng(3)
    made = curves(rng, (4, 6, 0.9, 0.0))
    made[0] += np.linspace(-9, 9, POINTS)
    found = list(crossings(made[:2]))
    assert [one.shown for one in found] == [True]
    assert found[0].root.low < found[0].root.value < found[0].root.high < STEPS[-1]


def test_one_seed_shows_no_swap() -> None:
    found = swap(STEPS, np.linspace(-1, 1, POINTS)[None], POINTS)
    assert found is not None
    assert not found.shown


def main() -> None:
    """Print the rates as a table."""
    print("| methods | seeds | noise of neighbouring evaluations | truth | cross | interval closed | listed |")
    print("|---:|---:|---|---|---:|---:|---:|")
    for scene in SCENES:
        methods, seeds, rho, late = scene
        truth = "equal, then one ahead" if late else "equal throughout"
        shares = " | ".join(f"{100 * rate:.1f} %" for rate in rates(scene, 1000))
        print(f"| {methods} | {seeds} | correlated {rho:g} | {truth} | {shares} |")


if __name__ == "__main__":
    main()
