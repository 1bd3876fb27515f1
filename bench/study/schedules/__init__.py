"""Learning-rate schedules: one file each, by being present; what follows the linear warm-up.

A schedule is a function of the share of the steps after the warm-up that is done, from 0 up to (not quite) 1, and gives
what the peak learning rate is multiplied with.

In: a name.
Out: a function of how far training has come.
May import: util.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType

from finebench.bench.util.doors import Door
from finebench.bench.util.errors import StudyError, choose


@dataclass(frozen=True)
class Schedule:
    """One schedule; `factor` of the share done. `summary` is its line in a list."""

    name: str
    summary: str
    factor: Callable[[float], float]


def _in(module: ModuleType) -> Iterator[tuple[str, Schedule]]:
    one = getattr(module, "SCHEDULE", None)
    if isinstance(one, Schedule):
        yield one.name, one


SCHEDULES: Door[Schedule] = Door("schedule", __name__, "finebench.schedules", _in)
"""All schedules by name."""


def schedule(name: str) -> Schedule:
    """The schedule of this name; raises StudyError with the choices and a guess."""
    if name not in SCHEDULES:
        raise StudyError(choose("schedule", name, SCHEDULES))
    return SCHEDULES[name]
