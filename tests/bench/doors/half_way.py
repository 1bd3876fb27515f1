"""The peak for half of the steps, then a straight line to zero."""

from finebench.bench.study.schedules import Schedule


def factor(done: float) -> float:
    """1 up to the half, and what is left of the other half after it."""
    return min(1.0, 2 * (1 - done))


SCHEDULE = Schedule("half_way", "its peak for half of the steps, then falls to 0", factor)
