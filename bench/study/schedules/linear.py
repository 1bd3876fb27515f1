"""Linear decay to zero, as in BERT's paper (Devlin et al., 2019)."""

from finebench.bench.study.schedules import Schedule


def factor(done: float) -> float:
    """What is left."""
    return 1 - done


SCHEDULE = Schedule("linear", "falls in a straight line to 0", factor)
