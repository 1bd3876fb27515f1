"""From which amount of data on a method scores a given share of what a reference scores with all of it.

The share is of the reference's gain over the constant predictor: 95 % of an accuracy of 0.90 on a task whose majority
class makes up 0.85 would be 0.855, which is next to nothing learned. Where the constant predictor scores 0 (a
correlation) this is a share of the score itself. Sample-size curves are read so since Cortes et al. (1994): what is
learned, against what could be.
"""

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.statistics.design import Design
from finebench.analysis.statistics.root import Root, first_root

Array = NDArray[np.float64]


def reach(
    fractions: Array,
    scores: Array,
    reference: Array,
    constant: float,
    share: float,
    level: float = 0.95,
    over: Design | None = None,
) -> Root:
    """First fraction at which `scores` [S, F] at `fractions` [F] reach constant + share · (reference − constant).

    `reference` [S] are the reference's scores with all data on the same seeds, so that its noise is in the interval;
    `over`: how those stand to each other, independent without.
    """
    target = constant + share * (reference - constant)
    return first_root(fractions, scores - target[:, None], level, over=over)
