"""What is known of a metric before anything is computed; free of heavy imports."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64] | NDArray[np.float64]
Score = Callable[[Array, Array], float]
"""(labels [n], predictions [n]) -> value; class indices for classification, numbers for regression."""

Weighted = Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""(labels [N], predictions [S, N], counts [R, N]) -> values [R, S]: the score of S runs in R resamples of the examples,
each of which stands in one as often as its count says. What is undefined is what it is in `score`."""


@dataclass(frozen=True)
class Metric:
    """One metric. `score` imports what it needs when it is called."""

    name: str
    kind: Literal["classification", "regression"]
    summary: str
    constant: str
    """What a constant predictor gets, in words."""
    score: Score
    higher_is_better: bool = True
    binary: bool = False
    """Whether it is defined for two classes only; class 1 is the positive one."""
    weighted: Weighted | None = None
    """How it is resampled; without it, intervals hold the noise of seeds and not that of examples."""
    range: tuple[float, float] = (0.0, 1.0)
    """Its least and its greatest value, whatever labels and predictions are."""
