"""What is counted and measured of a trial while it runs, from its start to its row."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Measured:
    """What was counted or measured of a trial; None where it was not reached or cannot be observed.

    `pack_size` is the most trials that it was ever trained together with, itself counted; `alone` says whether it was
    seen to have its cores and its GPU to itself, all of the time.
    """

    n_fit: int | None = None
    n_select: int | None = None
    trainable_params: int | None = None
    head_params: int | None = None
    total_params: int | None = None
    delta_bytes: int | None = None
    startup_seconds: float | None = None
    peak_memory_bytes: int | None = None
    peak_allocated_bytes: int | None = None
    energy_joules: float | None = None
    pack_size: int = 1
    alone: bool = False
    flops: Callable[[int, int, int], float] | None = None
