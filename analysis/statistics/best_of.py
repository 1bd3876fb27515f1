"""Expected best score of n trials drawn from N (Dodge et al., 2019), in the unbiased form (Tang et al., 2020)."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def expected_best(select: Array, score: Array | None = None) -> Array:
    """E [N] of the score of the trial with the best `select` [N] among n = 1..N drawn without replacement.

    Tang et al., section 3: Σ_j v_(j) C(j−1, n−1) / C(N, n), unbiased for every n ≤ N; with replacement, as first
    published, it is not. What is reported may be another `score` [N] than the one that chooses, or the same.
    Only for independent draws from one distribution: a grid or a guided search is none.
    """
    order = np.argsort(select, kind="stable")
    values = (select if score is None else score)[order]
    count = values.size
    made = np.empty(count)
    weights = np.full(count, 1 / count)
    j = np.arange(1, count + 1, dtype=np.float64)
    for n in range(1, count + 1):
        made[n - 1] = weights @ values
        if n < count:  # C(j−1, n)/C(N, n+1) from C(j−1, n−1)/C(N, n)
            weights = weights * np.maximum(j - n, 0) / n * (n + 1) / (count - n)
    return made
