"""The methods that no other one beats on score and cost at once, and how sure that is.

Method m is dominated where another scores at least as well at costs no higher, and is better in one of them. With
noise the front of the means is one draw; each method's bootstrap probability of being on it (seeds resampled, the same
for all methods, since they are paired) says how much of it would be found again.
"""

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.statistics.design import Design, independent

Array = NDArray[np.float64]

REPLICATES = 2000
"""Standard error of a probability at most 0.011."""


def front(scores: Array, costs: Array) -> NDArray[np.bool_]:
    """Which methods are on the front, [..., M], by `scores` [..., M] (high is good), `costs` [..., M, K] (low is)."""
    as_good = scores[..., None, :] >= scores[..., :, None]  # [..., m, other]
    better = scores[..., None, :] > scores[..., :, None]
    for k in range(costs.shape[-1]):
        cost = costs[..., k]
        as_good &= cost[..., None, :] <= cost[..., :, None]
        better |= cost[..., None, :] < cost[..., :, None]
    return np.asarray(~(as_good & better).any(axis=-1))


def front_probability(
    scores: Array, costs: Array, rng: np.random.Generator, over: Design | None = None, replicates: int = REPLICATES
) -> Array:
    """Share [M] of `replicates` in which each method is on the front of means over resampled seeds.

    `scores` [S, M] and `costs` [S, M, K] of the same seeds; of crossed ones (`over`) the levels of each source are
    resampled. NaN with fewer than two seeds, and where a crossing is incomplete.
    """
    seeds, methods = scores.shape
    of = over or independent(seeds)
    if seeds < 2 or of.why:
        return np.full(methods, np.nan)
    weights = of.draws(rng, replicates) / seeds  # [R, S]
    on = front(weights @ scores, np.einsum("rs,smk->rmk", weights, costs))
    share: Array = on.mean(axis=0)
    return share
