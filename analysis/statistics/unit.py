"""What a reference gains over a constant predictor as the unit of differences: a mean over runs, and so not exact.

A run of the reference has the seed of a pair, and its examples: its noise moves with the pair's, by seed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

GAIN_KNOWN = 4
"""Standard errors that a gain must have to be a unit. The mean of shares over tasks then errs in at most 3.3 % on
either side where 2.5 % are meant, also where one task's gain is barely so well known."""


@dataclass(frozen=True, eq=False)
class Unit:
    """By seed of the pairs: `values` [S], 1 on average, and `replicates` [R, S] of them on resampled examples; None
    where no predictions are known."""

    values: Array
    replicates: Array | None

    def at(self, which: NDArray[np.bool_]) -> "Unit":
        """On some of the seeds."""
        return Unit(self.values[which], None if self.replicates is None else self.replicates[:, which])


def unit_of(
    seeds: NDArray[np.int64], reference: NDArray[np.int64], gains: Array, replicates: Array | None = None
) -> Unit:
    """The unit of pairs with these `seeds` [S], from the `reference`'s own [S'], its `gains` [S'] and their
    `replicates` [R, S'].

    On a seed that the reference lacks, and in replicates on one whose predictions are not known (NaN), it is 1.
    """
    mean = float(gains.mean()) or np.nan  # where nothing is gained there is no unit
    _, at, of = np.intersect1d(seeds, reference, assume_unique=True, return_indices=True)
    values, moved = np.ones(seeds.size), None
    values[at] = gains[of] / mean
    if replicates is not None:
        moved = np.ones((len(replicates), seeds.size))
        moved[:, at] = np.nan_to_num(replicates[:, of] / mean, nan=1.0)
    return Unit(values, moved)
