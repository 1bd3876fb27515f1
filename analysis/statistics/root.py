"""Where a curve that was measured at a few points crosses zero: where two methods swap places, or one reaches a target.

Between neighbouring points each seed's curve is taken as straight in log x (or in x): the interpolation is an
assumption, and the only one about its shape. The interval holds every x at which zero lies inside Student's t interval
of the interpolated curve (Fieller's (1954) argument): it covers at its level at any number of seeds, where a percentile
bootstrap over three or five of them does not. It can be open at an end: the data then do not bound the crossing there.
"""

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]

GRID = 64
"""Steps per stretch between two measured points, in which the interval's ends are looked for."""

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


def first_root(x: Array, curves: Array, level: float = 0.95, log: bool = True, last: bool = False) -> Root:
    """First (or `last`) upward crossing of the mean of `curves` [S, P] at increasing `x` [P] (positive where `log`).

    "above from the start": at or above zero at x[0] already, so the crossing is at or below it; "never": below zero at
    every measured point. The value is then x[0] or NaN. Raises ValueError for shapes that do not match.
    """
    if curves.ndim != 2 or curves.shape[1] != x.size or (np.diff(x) <= 0).any():
        raise ValueError(f"curves [S, P] {curves.shape} need increasing x [P] {x.shape}")
    seeds = curves.shape[0]
    if x.size == 0 or seeds == 0 or not np.isfinite(curves).all():
        return Root(math.nan, math.nan, math.nan, seeds, "no curve")
    at = np.log(x) if log else x.astype(np.float64)
    mean = curves.mean(axis=0)
    value, outcome = _crossing(at, mean, last)
    low, high = _inside(at, curves, value if outcome == "crosses" else None, level)
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


def _inside(at: Array, curves: Array, value: float | None, level: float) -> tuple[float, float]:
    """Ends of the stretch of x, about `value`, where zero is inside the t interval; the whole range's without it."""
    seeds = curves.shape[0]
    if seeds < 2:
        return math.nan, math.nan
    grid = _grid(at) if value is None else np.unique(np.append(_grid(at), value))
    fine = np.stack([np.interp(grid, at, curve) for curve in curves])
    half = float(stats.t.ppf((1 + level) / 2, seeds - 1)) * fine.std(axis=0, ddof=1) / math.sqrt(seeds)
    mean = fine.mean(axis=0)
    possible = np.abs(mean) <= half
    if value is not None:
        possible |= grid == value
        start = int(np.flatnonzero(grid == value)[0])
        left, right = start, start
        while left > 0 and possible[left - 1]:
            left -= 1
        while right < grid.size - 1 and possible[right + 1]:
            right += 1
    else:
        found = np.flatnonzero(possible)
        if mean[0] >= 0:  # at or below x[0]; how far above it the crossing may still be
            low, high = -math.inf, float(grid[found[-1]]) if found.size else float(grid[0])
            return low, high if not found.size or found[-1] < grid.size - 1 else math.inf
        return (float(grid[found[0]]) if found.size else float(grid[-1])), math.inf
    low = -math.inf if left == 0 else float(grid[left])
    high = math.inf if right == grid.size - 1 else float(grid[right])
    return low, high


def _grid(at: Array) -> Array:
    if at.size == 1:
        return at.astype(np.float64)
    parts = [np.linspace(at[i], at[i + 1], GRID, endpoint=False) for i in range(at.size - 1)]
    return np.concatenate([*parts, at[-1:]])
