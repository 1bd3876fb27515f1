"""Half a cosine to zero, without restarts (Loshchilov and Hutter, 2017, equation 5)."""

import math

from finebench.bench.study.schedules import Schedule


def factor(done: float) -> float:
    """(1 + cos(π done)) / 2."""
    return 0.5 * (1 + math.cos(math.pi * done))


SCHEDULE = Schedule("cosine", "falls along half a cosine to 0", factor)
