"""The named result of every estimator."""

import math
from typing import NamedTuple


class Estimate(NamedTuple):
    """A value with its interval, the number of observations behind it, and how it was made.

    `low` and `high` are NaN where there is no interval; `method` then says why.
    """

    value: float
    low: float
    high: float
    n: int
    method: str

    @property
    def has_interval(self) -> bool:
        """Whether both ends are numbers."""
        return math.isfinite(self.low) and math.isfinite(self.high)
