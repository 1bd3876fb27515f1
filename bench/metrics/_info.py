"""What is known of a metric before anything is computed; free of heavy imports."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.int64] | NDArray[np.float64]
Score = Callable[[Array, Array], float]
"""(labels [n], predictions [n]) -> value; class indices for classification, numbers for regression."""


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
    range: tuple[float, float] = (0.0, 1.0)
    """Its least and its greatest value, whatever labels and predictions are."""
