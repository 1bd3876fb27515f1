"""Seeds: three sources of randomness that can be varied together or apart, and the streams derived from them.

A trial's seed k sets all three sources to k; crossed seeds set each on its own. Streams are paired across methods: the
same source seed gives every method the same subset, data order and dropout stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np

CONFIRM_BASE = 1000
"""Confirm seeds count from here, so that none of them ever chose anything; a study's own seeds stay below it."""

_NAMESPACE = 0x46425F31  # "FB_1": keeps our streams apart from any other use of the same small integers
_STREAMS = {"init": 1, "order": 2, "dropout": 3}


@dataclass(frozen=True, order=True)
class Seeds:
    """The seeds of head initialisation (and inserted modules), of data order and dropout, and of the drawn subset."""

    init: int
    order: int
    subset: int

    @classmethod
    def paired(cls, seed: int) -> "Seeds":
        """All three sources at one seed."""
        return cls(seed, seed, seed)

    @property
    def code(self) -> int:
        """The `seed` column: k when all are k, else init * 10^6 + order * 10^3 + subset."""
        if self.init == self.order == self.subset:
            return self.init
        return self.init * 1_000_000 + self.order * 1_000 + self.subset

    def stream(self, name: str) -> int:
        """A 63-bit seed for the stream "init", "order" or "dropout" (dropout follows the order seed)."""
        source = self.init if name == "init" else self.order
        state = np.random.SeedSequence([_NAMESPACE, _STREAMS[name], source]).generate_state(1, np.uint64)[0]
        return int(state) >> 1


def crossed(init: int, order: int, subset: int) -> Iterator[Seeds]:
    """Every combination of 1..init, 1..order, 1..subset, those nearest to the paired diagonal first."""
    combos = product(range(1, init + 1), range(1, order + 1), range(1, subset + 1))
    yield from sorted((Seeds(*combo) for combo in combos), key=lambda s: (max(s.init, s.order, s.subset), s))


def from_code(code: int) -> Seeds:
    """The seeds that a `seed` column's value stands for."""
    if code < 1_000_000:
        return Seeds.paired(code)
    return Seeds(code // 1_000_000, code // 1_000 % 1_000, code % 1_000)
