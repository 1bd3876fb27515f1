"""Where a curve that was measured at a few points crosses zero: where two methods swap places, or one reaches a target.

Between neighbouring points each seed's curve is taken as straight in log x (or in x): the interpolation is an
assumption, and the only one about its shape. The interval holds every x at which zero lies inside Student's t interval
of the interpolated curve (Fieller's (1954) argument): it covers at its level at any number of seeds, where a percentile
bootstrap over three or five of them does not. It can be open at an end: the data then do not bound the crossing there.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.design import Design, independent, mean_variance

Array = NDArray[np.float64]

GRID = 64
"""Steps per stretch between two measured points, in which the interval's ends are looked for."""

Ends = tuple[float, float]

Test = Callable[[Array], NDArray[np.bool_]]

Outcome = Literal["crosses", "above from the start", "never", "no curve"]


class Root(NamedTuple):
    """First x from which the mean curve is at or above zero, and the interval of x around it.

    `low` is −inf and `high` inf where the interval is open at that end. NaN ends: fewer than two seeds.
    """

    value: float
    low: float
    high: float
    n: int
    outcome: Outcome


def first_root(
    x: Array, curves: Array, level: float = 0.95, log: bool = True, last: bool = False, over: Design | None = None
) -> Root:
    """First (or `last`) upward crossing of the mean of `curves` [S, P] at increasing `x` [P] (positive where `log`).

    "above from the start": at or above zero at x[0] already, so the crossing is at or below it; "never": below zero at
    every measured point. The value is then x[0] or NaN. `over`: how the seeds stand to each other, independent without.
    Raises ValueError for shapes that do not match.
    """
    if curves.ndim != 2 or curves.shape[1] != x.size or (np.diff(x) <= 0).any():
        raise ValueError(f"curves [S, P] {curves.shape} need increasing x [P] {x.shape}")
    seeds = curves.shape[0]
    if x.size == 0 or seeds == 0 or not np.isfinite(curves).all():
        return Root(math.nan, math.nan, math.nan, seeds, "no curve")
    at = np.log(x) if log else x.astype(np.float64)
    mean = curves.mean(axis=0)
    value, outcome = _crossing(at, mean, last)
    of = independent(seeds) if over is None else over
    low, high = _inside(at, curves, value if outcome == "crosses" else None, level, of)
    back = np.exp if log else float
    value = float(x[0]) if outcome == "above from the start" else _back(value, back)  # to the last digit
    return Root(value, _back(low, back), _back(high, back), seeds, outcome)


def _back(value: float, function: object) -> float:
    """From the interpolation's scale to x; open ends stay open."""
    if not math.isfinite(value):
        return value
    return float(function(value)) if callable(function) else value


def _crossing(at: Array, mean: Array, last: bool) -> tuple[float, Outcome]:
    below = np.flatnonzero(mean < 0)
    if not below.size or (mean[0] >= 0 and not last):
        return float(at[0]), "above from the start"
    i = int(below[-1]) + 1 if last else int(np.flatnonzero(np.append(mean, 0.0) >= 0)[0])
    if i == mean.size:
        return math.nan, "never"
    share = -mean[i - 1] / (mean[i] - mean[i - 1])
    return float(at[i - 1] + share * (at[i] - at[i - 1])), "crosses"


def _inside(at: Array, curves: Array, value: float | None, level: float, of: Design) -> tuple[float, float]:
    """Ends of the stretch of x, about `value`, where zero is inside the t interval; the whole range's without it."""
    seeds = curves.shape[0]
    if seeds < 2 or of.why:
        return math.nan, math.nan
    mean = curves.mean(axis=0)

    def holds_zero(x: Array) -> NDArray[np.bool_]:
        """Whether zero is inside the interval at each of `x`."""
        i = np.clip(np.searchsorted(at, x, side="right") - 1, 0, max(0, at.size - 2))
        j = np.minimum(i + 1, at.size - 1)
        w = np.where(i < j, (x - at[i]) / np.where(i < j, at[j] - at[i], 1.0), 0.0)
        values = (1 - w) * curves[:, i] + w * curves[:, j]
        variance, df = mean_variance(values, of)
        return np.asarray(values.mean(axis=0) ** 2 <= variance * stats.t.ppf((1 + level) / 2, df) ** 2)

    grid = _grid(at) if value is None else np.unique(np.append(_grid(at), value))
    possible = holds_zero(grid)
    if value is not None:
        possible |= grid == value
    if value is None:
        return _open_ended(grid, possible, bool(mean[0] >= 0), holds_zero)
    left = right = int(np.flatnonzero(grid == value)[0])
    while left > 0 and possible[left - 1]:
        left -= 1
    while right < grid.size - 1 and possible[right + 1]:
        right += 1
    low = -math.inf if left == 0 else _edge(holds_zero, float(grid[left]), float(grid[left - 1]))
    high = math.inf if right == grid.size - 1 else _edge(holds_zero, float(grid[right]), float(grid[right + 1]))
    return low, high


def _open_ended(grid: Array, possible: NDArray[np.bool_], above: bool, holds_zero: Test) -> Ends:
    """The interval of a crossing at or below the first point (`above`), or at or beyond the last one."""
    found = np.flatnonzero(possible)
    if above:
        if not found.size:
            return -math.inf, float(grid[0])
        last = int(found[-1])
        return -math.inf, math.inf if last == grid.size - 1 else _edge(
            holds_zero, float(grid[last]), float(grid[last + 1])
        )
    if not found.size:
        return float(grid[-1]), math.inf
    first = int(found[0])
    return -math.inf if first == 0 else _edge(holds_zero, float(grid[first]), float(grid[first - 1])), math.inf


def _edge(holds_zero: Test, inside: float, outside: float) -> float:
    """Where zero leaves the interval between a point inside and one outside, by bisection."""
    for _ in range(24):
        middle = (inside + outside) / 2
        if holds_zero(np.array([middle]))[0]:
            inside = middle
        else:
            outside = middle
    return outside


def _grid(at: Array) -> Array:
    if at.size == 1:
        return at.astype(np.float64)
    parts = [np.linspace(at[i], at[i + 1], GRID, endpoint=False) for i in range(at.size - 1)]
    return np.concatenate([*parts, at[-1:]])
