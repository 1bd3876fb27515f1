"""What is known of a metric before anything is computed; free of heavy imports."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from finebench.bench.util.errors import StudyError, check_name, choose

Array = NDArray[np.int64] | NDArray[np.float64]
Floats = NDArray[np.float64]

Needs = Literal["classes", "probabilities", "values"]

Score = Callable[[Array, Array], float]
"""(labels [n], what the metric needs) -> value: class numbers [n]; the probability of every class [n, C], as float32
holds it; or numbers [n]."""

Weighted = Callable[[Floats, Floats, Floats], Floats]
"""(labels [N], predictions [S, N] or probabilities [S, N, C], counts [R, N]) -> values [R, S]: the score of S runs in R
resamples of the examples, each of which stands in one as often as its count says. What is undefined is what it is in
`score`."""

NEGATIVE = "neg_"
"""What the name of a metric's negative begins with, as scikit-learn's scorers have it."""

ROUNDING = 1e-6
"""By what share of its size a value may lie beyond the range of its metric, float32's rounding."""


@dataclass(frozen=True)
class Metric:
    """One metric. `score` imports what it needs when it is called.

    Raises StudyError for an unknown `needs`, a name that no file could have, and a range without a least value.
    """

    name: str
    needs: Needs
    """What it is computed of beside the labels: predicted classes, the probability of every class, or numbers."""
    summary: str
    constant: str
    """What a constant predictor gets, in words. That of `probabilities` predicts the classes' shares in train."""
    score: Score
    higher_is_better: bool = True
    binary: bool = False
    """Whether it is defined for two classes only; class 1 is the positive one."""
    weighted: Weighted | None = None
    """How it is resampled; without it, intervals hold the noise of seeds and not that of examples."""
    range: tuple[float, float] = (0.0, 1.0)
    """Its least and its greatest value, whatever labels and predictions are."""
    main: bool = True
    """Whether it may be a task's main metric: not where a constant predictor gets the best there is."""

    def __post_init__(self) -> None:
        if self.needs not in get_args(Needs):
            raise StudyError(f"metric {self.name!r}: {choose('needs', self.needs, get_args(Needs))}")
        check_name("metric", self.name)
        if not (len(self.range) == 2 and self.range[0] < self.range[1]):
            raise StudyError(
                f"metric {self.name!r}: its range is (least, greatest), such as (0.0, 1.0), not {self.range}"
            )

    def checked(self, value: float) -> float:
        """A value of this metric; raises StudyError for one outside of its range, to which intervals are cut."""
        least, most = self.range
        room = ROUNDING * max(1.0, abs(value))
        if value < least - room or value > most + room:
            raise StudyError(
                f"metric {self.name!r} gave {value:g}, which is outside of its range, {least:g} to {most:g}; say "
                "range=(least, greatest) in its METRIC"
            )
        return value

    @property
    def kind(self) -> Literal["classification", "regression"]:
        """What it is for."""
        return "regression" if self.needs == "values" else "classification"

    @property
    def negative(self) -> "Metric":
        """Its negative, of which more is better where less of it is."""
        own, weighted, (least, most) = self.score, self.weighted, self.range
        return replace(
            self,
            name=NEGATIVE + self.name,
            summary=f"the negative of {self.name}: {self.summary}",
            constant=f"the negative of {self.constant}",
            score=lambda labels, predictions: -own(labels, predictions),
            higher_is_better=not self.higher_is_better,
            weighted=None if weighted is None else lambda *given: -weighted(*given),
            range=(-most, -least),
        )
