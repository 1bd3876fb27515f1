"""The choice of a configuration as part of the estimate: repeated on resampled seeds, as a fresh study would repeat it.

Where the seeds that chose also scored, the reported mean would have been another configuration's with other seeds.
Bouthillier et al. (2021) show that leaving that out underestimates the variance of a tuned method. Repeating it holds
the noise of the choice between the configurations that were tried; not the optimism of a choice and a score that share
their runs, and not that of trying other configurations.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Choice(NamedTuple):
    """What was chosen among: `select` and `scores` [C, S] of each configuration, ties going to the first; `chosen`."""

    select: Array
    scores: Array
    chosen: int

    def at(self, seeds: NDArray[Any]) -> "Choice":
        """The same choice on some of its seeds, by their places or a mask."""
        return Choice(self.select[:, seeds], self.scores[:, seeds], self.chosen)

    def scaled(self, by: float) -> "Choice":
        """The same choice, its scores in another unit."""
        return self._replace(scores=self.scores * by)


Choices = tuple[Choice, Choice | None]
"""How a mean's configuration was chosen, and that of what is taken from it."""


class Reselected(NamedTuple):
    """`moves` [R], how far each replicate's choice moved its mean; their variance; how often it was the same."""

    moves: Array
    variance: float
    same: float


def alone(scores: Array) -> Choice:
    """What was not chosen, as a choice among one: scores [S]."""
    return Choice(np.zeros((1, scores.size)), scores[None], 0)


def reselected(choices: Sequence[Choices], drawn: Array, fewest: int | None = None) -> Reselected:
    """Repeat each choice on seeds drawn `drawn` [R, S] times each, and score it on the same draws.

    Several `choices` are of one mean over tasks. Where a choice is against another, its mean is that of a difference,
    both repeated on the same draws. variance is what the choices add to that of the chosen configurations' mean, times
    n/(n − 1) for the bootstrap's own bias, n being the seeds or, of crossed ones, the `fewest` levels of a source; 0
    where repeating them adds none. same: how often every choice was the one that was made.
    """
    levels = drawn.shape[1] if fewest is None else fewest
    again, fixed, same = np.zeros(len(drawn)), np.zeros(len(drawn)), np.ones(len(drawn), bool)
    for choice, against in choices:
        for sign, one in ((1, choice), (-1, against)):
            if one is not None:
                moved = _repeated(one, drawn)
                again, fixed, same = again + sign * moved[0], fixed + sign * moved[1], same & moved[2]
    again, fixed = again / len(choices), fixed / len(choices)
    added = max(0.0, float(again.var() - fixed.var())) * levels / max(1, levels - 1)
    return Reselected(again - fixed, added, float(np.mean(same)))


def _repeated(choice: Choice, drawn: Array) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Means [R] of what each replicate chooses and of what was chosen, and whether they are the same."""
    seeds = drawn.shape[1]
    select, scores = drawn @ choice.select.T / seeds, drawn @ choice.scores.T / seeds
    best = np.argmax(select, axis=1)  # the first of equals, as the choice itself takes
    return scores[np.arange(len(drawn)), best], scores[:, choice.chosen], best == choice.chosen
