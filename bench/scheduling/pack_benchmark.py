"""How many trials to a pack, and how many processes to a GPU: chosen from a short measurement of growing packs.

A step of a small trial leaves a GPU idle while the host launches its kernels. Both a bigger pack and a second process
fill that same gap, so that both follow from one series of timings: seconds per step of 1, 2, 4, 8 and 16 trials
together.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

SIZES = (1, 2, 4, 8, 16)
STEPS = 30
"""Optimiser steps for which each size is timed."""

LEAST_GAIN = 1.05
"""A bigger pack has to finish this many times the trials per hour: it waits for its slowest member, and what a timing
of a few dozen steps says is noisy."""

RESERVE = 1.15
"""Room for other batches than those that were measured: other subsets hold other lengths."""

MOST_PER_GPU = 16


@dataclass(frozen=True)
class Timing:
    """One size, measured: seconds of a step of all its trials together, and peak bytes (None: not observable)."""

    seconds: float
    peak: int | None = None


Figures = Mapping[int, Timing]
"""Timings by pack size; never empty, size 1 always there."""


def measure(run: Callable[[int], Timing], memory: int | None = None) -> dict[int, Timing]:
    """Time packs of SIZES, one after the other: `run` trains a pack of a size briefly, or raises MemoryError.

    It ends before a size that would not fit into `memory` bytes as peaks have grown so far, at one that runs out of
    memory, and after one that finishes fewer trials per hour than the size before. Raises MemoryError where not even
    one trial fits.
    """
    found: dict[int, Timing] = {}
    for size in SIZES:
        if found and not _fits(found, size, memory):
            break
        try:
            found[size] = run(size)
        except MemoryError:
            if not found:
                raise
            break
        if size > 1 and _rate(found, size) < _rate(found, size // 2):
            break
    return found


def best_size(figures: Figures, memory: float | None = None) -> int:
    """The size that finishes most trials per hour, of those whose peak fits into `memory` bytes with a reserve."""
    best = 1
    for size in sorted(figures):
        if size > 1 and _fits(figures, size, memory) and _rate(figures, size) > LEAST_GAIN * _rate(figures, best):
            best = size
    return best


def processes(figures: Figures, size: int) -> int:
    """How many processes with packs of `size` a GPU has work for: the time of a step over the part of it in which the
    device is busy.

    What one more trial adds to a step, between the two largest sizes measured, is its time on the device; the rest of a
    step is the host's, in which another process can use the device. 1 where a pack fills it, or nothing is known.
    """
    known = sorted(figures)
    if len(known) < 2:
        return 1
    smaller, larger = known[-2:]
    busy = size * (figures[larger].seconds - figures[smaller].seconds) / (larger - smaller)
    step = _at(figures, size, lambda timing: timing.seconds)
    if busy * MOST_PER_GPU <= step:
        return MOST_PER_GPU
    return max(1, math.floor(step / busy))


def peak_bytes(figures: Figures, size: int) -> float | None:
    """Peak bytes of a pack of `size`: measured, or between and beyond measured sizes on a straight line."""
    if any(timing.peak is None for timing in figures.values()):
        return None
    return _at(figures, size, lambda timing: float(timing.peak or 0))


def _rate(figures: Figures, size: int) -> float:
    return size / figures[size].seconds


def _fits(figures: Figures, size: int, memory: float | None) -> bool:
    peak = peak_bytes(figures, size)
    return memory is None or peak is None or peak * RESERVE <= memory


def _at(figures: Figures, size: int, value: Callable[[Timing], float]) -> float:
    """A value at a size, measured or on the line through the two nearest measured ones (proportional to one alone)."""
    if size in figures:
        return value(figures[size])
    known = sorted(figures)
    if len(known) == 1:
        return value(figures[known[0]]) * size / known[0]
    above = next((i for i, one in enumerate(known) if one > size), len(known) - 1)
    low, high = known[max(1, above) - 1], known[max(1, above)]
    a, b = value(figures[low]), value(figures[high])
    return a + (b - a) * (size - low) / (high - low)
