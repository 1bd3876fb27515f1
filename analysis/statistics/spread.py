"""How far the values lie apart: standard deviation and range."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Range(NamedTuple):
    """Lowest and highest value."""

    low: float
    high: float


def sd(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Sample standard deviation of `values` [n], with n - 1 in the denominator; NaN where n < 2 or a value is NaN."""
    data = np.asarray(values, dtype=np.float64)
    return float(data.std(ddof=1)) if data.size > 1 else math.nan


def extremes(values: Sequence[float] | NDArray[np.float64]) -> Range:
    """Lowest and highest of `values` [n], NaN left out; NaN for both where nothing is left."""
    data = np.asarray(values, dtype=np.float64)
    data = data[~np.isnan(data)]
    return Range(float(data.min()), float(data.max())) if data.size else Range(math.nan, math.nan)
