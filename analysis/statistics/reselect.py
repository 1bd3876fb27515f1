"""The choice of a configuration as part of the estimate: repeated on resampled seeds, as a fresh study would repeat it.

Where the seeds that chose also scored, the reported mean would have been another configuration's with other seeds.
Bouthillier et al. (2021) show that leaving that out underestimates the variance of a tuned method. Repeating it holds
the noise of the choice between the configurations that were tried; not the optimism of a choice and a score that share
their runs, and not that of trying other configurations.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Choice(NamedTuple):
    """What was chosen among: `select` and `scores` [C, S] of each configuration, ties going to the first; `chosen`."""

    select: Array
    scores: Array
    chosen: int


class Reselected(NamedTuple):
    """`moves` [R], how far each replicate's choice moved its mean; their variance; how often it was the same."""

    moves: Array
    variance: float
    same: float


def alone(scores: Array) -> Choice:
    """What was not chosen, as a choice among one: scores [S]."""
    return Choice(np.zeros((1, scores.size)), scores[None], 0)


def reselected(choice: Choice, drawn: Array, against: Choice | None = None) -> Reselected:
    """Repeat the choice on seeds drawn `drawn` [R, S] times each, and score it on the same draws.

    With `against`, the mean is that of a difference, chosen less against, both choices repeated on the same draws.
    variance is what the choice adds to that of the chosen configuration's mean, times S/(S − 1) for the bootstrap's own
    bias; 0 where repeating it adds none. same: how often every choice was the one that was made.
    """
    seeds = drawn.shape[1]
    again, fixed, same = _repeated(choice, drawn)
    if against is not None:
        others = _repeated(against, drawn)
        again, fixed, same = again - others[0], fixed - others[1], same & others[2]
    added = max(0.0, float(again.var() - fixed.var())) * seeds / max(1, seeds - 1)
    return Reselected(again - fixed, added, float(np.mean(same)))


def _repeated(choice: Choice, drawn: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Means [R] of what each replicate chooses and of what was chosen, and whether they are the same."""
    seeds = drawn.shape[1]
    select, scores = drawn @ choice.select.T / seeds, drawn @ choice.scores.T / seeds
    best = np.argmax(select, axis=1)  # the first of equals, as the choice itself takes
    return scores[np.arange(len(drawn)), best], scores[:, choice.chosen], best == choice.chosen
