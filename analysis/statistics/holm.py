"""Holm's (1979) correction: p-values of several hypotheses such that rejecting at 0.05 errs at all in at most 5 %."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def holm(p: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values [n] of `p` [n]; NaN (no test) stays NaN and counts as no hypothesis."""
    values = np.asarray(p, dtype=np.float64)
    made = np.full(values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    made[order] = np.minimum(1.0, np.maximum.accumulate(factors * values[order]))
    return made


def holm_columns(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Adjusted p-values [hypothesis, family] of many families at once, each a column of `p` without NaN."""
    order = np.argsort(p, axis=0, kind="stable")
    raised = np.arange(len(p), 0, -1)[:, None] * np.take_along_axis(p, order, axis=0)
    made = np.empty_like(p)
    np.put_along_axis(made, order, np.minimum(1.0, np.maximum.accumulate(raised, axis=0)), axis=0)
    return made
