"""Seeded draws that are the same on every platform and Python version.

Only `random.Random.random()` is used: it is the one method whose sequence Python promises to keep for a given seed.
"""

import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Choices:
    """A stream of seeded choices. The seed is a tuple of small non-negative integers."""

    def __init__(self, *seed: int) -> None:
        number = 0
        for part in seed:
            number = number * 1_000_003 + part + 1
        self._random = random.Random(number).random

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self._random() < probability

    def uniform(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self._random()

    def below(self, n: int) -> int:
        """Return an integer in [0, n)."""
        return int(self._random() * n)

    def pick(self, items: Sequence[T]) -> T:
        """Return one item, each equally likely."""
        return items[int(self._random() * len(items))]

    def other(self, items: Sequence[T], than: T) -> T:
        """Return one item that differs from `than`, each equally likely."""
        return self.pick([item for item in items if item != than])
