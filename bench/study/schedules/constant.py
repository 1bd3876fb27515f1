"""No decay."""

from finebench.bench.study.schedules import Schedule


def factor(done: float) -> float:
    """1, whatever is done."""
    return 1.0


SCHEDULE = Schedule("constant", "stays at its peak", factor)
